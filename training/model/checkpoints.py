"""Find and load the checkpoints of a training."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.model.configure import configure, input_size_of, parse_pipeline
from training.model.model_runtime import ModelRuntime, build_variables
from training.recipe import Recipe
from training.run_folder import RunFolder

BEST = "best"
"""Subfolder of the checkpoint with the best figure on the held-out photos."""


class CheckpointError(TrainingError):
    """There is no such checkpoint, or it belongs to another detector."""


def find_checkpoint(place: Path, which: str = "latest") -> Path:
    """The prefix `ckpt-N` of a checkpoint, given this prefix, or a folder and `latest` or `best`. Raises
    CheckpointError: there is none."""
    from training.compat import tf

    folder = place / BEST if which == BEST else place
    prefix = tf.train.latest_checkpoint(str(folder)) if place.is_dir() else str(place)
    if prefix is None or not Path(f"{prefix}.index").is_file():
        hint = "; the best one is saved if the recipe sets evaluate_every" if which == BEST else ""
        raise CheckpointError(f"there is no checkpoint in {folder}{hint}")
    return Path(prefix)


def load_trained(folder: RunFolder) -> ModelRuntime:
    """The detector of a run's latest checkpoint. Raises CheckpointError, RunError: there is no checkpoint, or it is of
    another detector."""
    recipe, _ = folder.configured()
    checkpoint = find_checkpoint(folder.checkpoints)
    return load_checkpoint(folder.pipeline_config, checkpoint, multi_scale=recipe.multi_scale)


def load_checkpoint(pipeline_config: Path, checkpoint: Path, *, multi_scale: Sequence[int] = ()) -> ModelRuntime:
    """The detector of a checkpoint (prefix `ckpt-N`), without exporting it; `multi_scale` are further input sizes.
    Raises CheckpointError: it is not of the detector in this configuration."""
    from training.compat import leave_training_mode, tf
    from object_detection.builders import model_builder

    leave_training_mode()
    pipeline = parse_pipeline(pipeline_config.read_text(encoding="utf-8"))
    model = model_builder.build(pipeline.model, is_training=False)
    height, width = input_size_of(pipeline)
    runtime = ModelRuntime(model, height, width, multi_scale=multi_scale)
    status = tf.train.Checkpoint(model=model).restore(str(checkpoint))
    build_variables(model, height, width)  # which then take their values
    try:
        status.assert_existing_objects_matched()
    except AssertionError as error:
        raise CheckpointError(f"{checkpoint} is not a checkpoint of the detector in {pipeline_config}") from error
    return runtime


def find_pipeline_config(place: Path) -> Path | None:
    """The `pipeline.config` of a detector in a folder or with a prefix: in its folder or one of the two above."""
    folders = [*([place.resolve()] if place.is_dir() else []), *place.resolve().parents][:3]
    return next((folder / "pipeline.config" for folder in folders if (folder / "pipeline.config").is_file()), None)


def unused_pipeline(recipe: Recipe) -> str:
    """The text of a recipe's `pipeline.config`, to build its detector but not to train it."""
    unused = Path("unused")
    return configure(
        recipe, label_map=unused, train_records=[unused], validation_records=[unused], fine_tune_checkpoint=None
    )


def restore_saved_model(saved_model: Path, pipeline: str, *, save_to: Path, step: int = 0) -> Path:
    """Save the variables of a SavedModel, matched by name, as a checkpoint of the detector in the text of a
    `pipeline.config`, and return its prefix. Raises CheckpointError: they are not those of this detector."""
    from training.compat import leave_training_mode, tf
    from object_detection.builders import model_builder

    leave_training_mode()
    configuration = parse_pipeline(pipeline)
    model = model_builder.build(configuration.model, is_training=False)
    build_variables(model, *input_size_of(configuration))
    saved = {_name(variable): variable for variable in tf.saved_model.load(str(saved_model)).model_variables}
    ours = {_name(variable): variable for variable in model.variables}
    if ours.keys() != saved.keys() or len(ours) != len(model.variables):
        different = ", ".join(sorted(ours.keys() ^ saved.keys())[:3])
        raise CheckpointError(f"the variables of {saved_model} are not those of its recipe's detector: {different}")
    for name, variable in ours.items():
        variable.assign(saved[name])
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(model=model), str(save_to), max_to_keep=1)
    return Path(manager.save(checkpoint_number=step))


def _name(variable: Any) -> str:
    """A variable's name without the number of its outermost layer, which depends on the process:
    `feature_extractor_1/projection_2/bias:0` is `feature_extractor/projection_2/bias:0`."""
    return re.sub(r"^([^/]*?)_\d+/", r"\1/", variable.name.strip())
