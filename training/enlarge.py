"""A trained detector at other input sizes: the same weights, more pixels for each tooth.

The network is convolutional and its anchors are given in pixels, so it runs at any size. A training that crops and
zooms at random shows the detector larger objects than the complete photos of later use, which a larger input
compensates for (Touvron et al. 2019, "Fixing the train-test resolution discrepancy").
"""

import shutil
from dataclasses import replace

from app.detector.bundle import Bundle
from training.measure.held_out import check_held_out
from training.model.checkpoints import find_checkpoint, restore_saved_model
from training.model.multi_scale import Sizes
from training.recipe import Recipe
from training.run import configure_step
from training.run_folder import RunFolder


def enlarge(
    bundle: Bundle, folder: RunFolder, sizes: Sizes, *, validation_fold: int | None, name: str | None = None
) -> None:
    """Create a run with the weights of a bundle at other input sizes, ready to be exported, converted and measured.

    The fold was held out by the bundle's training, None if it was trained on all photos. The model keeps its name with
    the new size if None is given.

    Raises:
        CheckpointError: the bundle's variables are not those of its recipe's detector.
        RecipeError: a size is not allowed, or the architecture runs at one size only.
        RunError: there are no records, the folder has another training, or the bundle was trained on the fold.
    """
    if validation_fold is not None:
        check_held_out(bundle, validation_fold)
    recipe = _at_sizes(Recipe.from_dict(bundle.manifest["recipe"]), sizes)
    recipe = replace(recipe, model_name=name or recipe.model_name)
    configure_step(folder, recipe, validation_fold=validation_fold)
    pipeline = folder.pipeline_config.read_text(encoding="utf-8")
    restore_saved_model(bundle.path, pipeline, save_to=folder.checkpoints, step=recipe.num_steps)
    trained_at = bundle.manifest.get("trained_input_size", bundle.input_height)
    folder.trained_at.write_text(f"{trained_at}\n", encoding="utf-8")
    folder.weights_of.write_text(f"{bundle.path.resolve()}\n", encoding="utf-8")


def enlarge_run(run: RunFolder, folder: RunFolder, sizes: Sizes) -> None:
    """Create a run with the latest weights of another run at other input sizes; see `enlarge`."""
    recipe, validation_fold = run.configured()
    latest = find_checkpoint(run.checkpoints)
    configure_step(folder, _at_sizes(recipe, sizes), validation_fold=validation_fold)
    folder.checkpoints.mkdir(exist_ok=True)
    for file in (*run.checkpoints.glob(f"{latest.name}.*"), run.checkpoints / "checkpoint"):
        shutil.copy(file, folder.checkpoints)
    folder.trained_at.write_text(f"{recipe.input_size}\n", encoding="utf-8")
    folder.weights_of.write_text(f"{run.path.resolve()}\n", encoding="utf-8")


def _at_sizes(recipe: Recipe, sizes: Sizes) -> Recipe:
    size, *multi_scale = sizes
    if multi_scale:
        recipe.check_use(["multi_scale"])
    name = f"{recipe.model_name.removesuffix(f'-{recipe.input_size}')}-{size}"
    return replace(recipe, input_size=size, multi_scale=tuple(multi_scale), model_name=name)
