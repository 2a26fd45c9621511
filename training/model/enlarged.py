"""A trained detector at other sizes than it was trained for: the same weights, more pixels for each tooth.

The network is convolutional and its anchors are given in pixels, so it runs at any size. A training that crops and
zooms at random shows the detector larger objects than it meets in whole photos afterwards, which a larger input makes
up for (Touvron et al. 2019, "Fixing the train-test resolution discrepancy").
"""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.detector.bundle import MANIFEST, Bundle, read_bundle
from training.measure.detectors import DetectorError
from training.model.configure import configure, detector_message, parse_pipeline
from training.model.model_runtime import ModelRuntime, load_checkpoint, make_variables
from training.model.multi_scale import Sizes
from training.recipe import Recipe
from training.release.export import find_checkpoint
from training.run import check_held_out, configure_step
from training.run_folder import RunFolder


def load_enlarged(path: Path, sizes: Sizes) -> ModelRuntime:
    """A detector that looks at these sizes.

    Args:
        path: folder of a run, whose latest checkpoint is taken, or of a bundle that holds its recipe.
        sizes: multiples of 32.

    Raises:
        DetectorError: the bundle's variables are not those of its recipe's detector.
        RecipeError: a size is not allowed, or the architecture looks at one alone.
    """
    if (path / MANIFEST).is_file():
        return _rebuilt(read_bundle(path), sizes)[1]
    run = RunFolder(path)
    size, *multi_scale = sizes
    config = path / f"pipeline_{size}.config"
    config.write_text(resized(run.pipeline_config.read_text(encoding="utf-8"), size), encoding="utf-8")
    return load_checkpoint(config, find_checkpoint(run.checkpoints), multi_scale=multi_scale)


def resized(pipeline_text: str, size: int) -> str:
    """A `pipeline.config` with another input size."""
    pipeline = parse_pipeline(pipeline_text)
    from google.protobuf import text_format

    resizer = detector_message(pipeline).image_resizer.fixed_shape_resizer
    resizer.height = resizer.width = size
    text: str = text_format.MessageToString(pipeline)
    return text


def enlarge(
    bundle: Bundle, folder: RunFolder, sizes: Sizes, *, validation_fold: int | None, name: str | None = None
) -> None:
    """Makes the folder of a run whose training is that of a bundle and which looks at other sizes, so that it can be
    exported, converted and measured there.

    Args:
        bundle: holds its recipe.
        folder: holds records.
        sizes: multiples of 32.
        validation_fold: the one that the bundle was trained without; None if it was trained on all.
        name: of the model; None for its own with the new size.

    Raises:
        DetectorError: see `load_enlarged`.
        RecipeError: a size is not allowed, or the architecture looks at one alone.
        RunError: there are no records, the folder holds another training, or the bundle's saw the fold.
    """
    import training.compat  # noqa: F401  isort: skip
    import tensorflow as tf

    if validation_fold is not None:
        check_held_out(bundle, validation_fold)
    recipe = _recipe_at(_recipe_of(bundle), sizes)
    recipe = replace(recipe, model_name=name or recipe.model_name)
    configure_step(folder, recipe, validation_fold=validation_fold)
    model, _ = _rebuilt(bundle, sizes)
    saved = tf.train.CheckpointManager(tf.train.Checkpoint(model=model), str(folder.checkpoints), max_to_keep=1)
    saved.save(checkpoint_number=recipe.num_steps)
    trained_at = bundle.manifest.get("trained_input_size", bundle.input_height)
    folder.trained_at.write_text(f"{trained_at}\n", encoding="utf-8")


def enlarge_run(run: RunFolder, folder: RunFolder, sizes: Sizes) -> None:
    """The same from the folder of a run, whose latest checkpoint it takes.

    Args:
        run: trained to its end.
        folder: holds records.
        sizes: multiples of 32.

    Raises:
        RunError: see `enlarge`.
    """
    import training.compat  # noqa: F401  isort: skip
    import tensorflow as tf

    recipe, validation_fold = run.configured()
    latest = Path(tf.train.latest_checkpoint(str(find_checkpoint(run.checkpoints))))
    configure_step(folder, _recipe_at(recipe, sizes), validation_fold=validation_fold)
    folder.checkpoints.mkdir(exist_ok=True)
    for file in (*run.checkpoints.glob(f"{latest.name}.*"), run.checkpoints / "checkpoint"):
        shutil.copy(file, folder.checkpoints)
    folder.trained_at.write_text(f"{recipe.input_size}\n", encoding="utf-8")


def _recipe_at(recipe: Recipe, sizes: Sizes) -> Recipe:
    size, *multi_scale = sizes
    if multi_scale:
        recipe.check_use(["multi_scale"])
    return replace(
        recipe,
        input_size=size,
        multi_scale=tuple(multi_scale),
        model_name=f"{recipe.model_name.removesuffix(f'-{recipe.input_size}')}-{size}",
    )


def _recipe_of(bundle: Bundle) -> Recipe:
    return Recipe.from_dict(bundle.manifest["recipe"])


def _rebuilt(bundle: Bundle, sizes: Sizes) -> tuple[Any, ModelRuntime]:
    """The API's detection model, and what runs it, with the SavedModel's variables, which are told by their names."""
    import training.compat  # isort: skip
    import tensorflow as tf
    from object_detection.builders import model_builder

    size, *multi_scale = sizes
    nowhere = Path("unused")
    text = configure(
        _recipe_at(_recipe_of(bundle), sizes),
        label_map=nowhere,
        train_records=[nowhere],
        validation_records=[nowhere],
        fine_tune_checkpoint=None,
    )
    training.compat.leave_training_mode()
    model = model_builder.build(parse_pipeline(text).model, is_training=False)
    runtime = ModelRuntime(model, size, size, multi_scale=multi_scale)
    make_variables(model, size, size)
    kept = {_name(variable): variable for variable in tf.saved_model.load(str(bundle.path)).model_variables}
    ours = {_name(variable): variable for variable in model.variables}
    if ours.keys() != kept.keys() or len(ours) != len(model.variables):
        different = ", ".join(sorted(ours.keys() ^ kept.keys())[:3])
        raise DetectorError(f"{bundle.path} holds other variables than the detector of its recipe: {different}")
    for name, variable in ours.items():
        variable.assign(kept[name])
    return model, runtime


def _name(variable: Any) -> str:
    """A variable's name without the number that its outermost layer got in the process that made it:
    `feature_extractor_1/projection_2/bias:0` is `feature_extractor/projection_2/bias:0`."""
    return re.sub(r"^([^/]*?)_\d+/", r"\1/", variable.name.strip())
