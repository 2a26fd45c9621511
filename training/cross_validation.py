"""Cross-validation: train a recipe once for each fold, and measure it on the photos that it was not trained on.

Files and predictions: `training.measure.out_of_fold`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from app.detector.runtimes import Runtime
from training.enlarge import enlarge_run
from training.machine import this_machine
from training.measure.calibration import CalibrationError, cross_fitted
from training.measure.out_of_fold import PREDICTIONS, CrossValidationError, at, fold_folder, read_out_of_fold
from training.measure.predictions import load_exported, predict, save_predictions
from training.measure.report import SAME_PHOTOS, write_assessment
from training.measure.sources import assess_sources
from training.model.checkpoints import load_trained
from training.model.multi_scale import Sizes, sizes_text
from training.model.pretrained.start import Start
from training.model.train import seconds_trained
from training.output import write_file
from training.recipe import NAMES, Recipe
from training.run import check_same_input, configure_step, export_step, say, tflite_step, train_step
from training.run_folder import RunFolder

SECONDS = "seconds.json"


def train_held_out(run: RunFolder, recipe: Recipe, fold: int, start: Start | None = None) -> None:
    """Train with a fold held out and predict on it; resume an interrupted training, skip a finished one.

    Raises:
        CrossValidationError: the training was finished with another recipe or held-out fold.
        RunError: it has other photos, labels, folds, unlabelled teeth, weights of data sets or initial weights.
    """
    if (run.path / PREDICTIONS["float32"]).exists():
        of_run, held_out = run.configured()
        if differences := of_run.differences(recipe, apart_from=NAMES):
            raise CrossValidationError(f"{run.path} was trained by another recipe: {differences}")
        if held_out != fold:
            raise CrossValidationError(f"{run.path} was trained with fold {held_out} held out instead of {fold}")
        check_same_input(run, recipe, start)
        say(f"{run.path.name.replace('_', ' '):9} finished earlier")
        return
    configure_step(run, recipe, validation_fold=fold, start=start)
    train_step(run)
    write_file(run.path / SECONDS, json.dumps(round(seconds_trained(run.checkpoints))) + "\n")
    _predict(run, fold, "float32", load_trained(run))


def enlarge_fold(folder: Path, fold: int, sizes: Sizes) -> None:
    """Predict on a trained fold with its detector's weights at other input sizes, multiples of 32, unless done."""
    run = fold_folder(folder, fold, sizes)
    if not (run.path / PREDICTIONS["float32"]).exists():
        enlarge_run(fold_folder(folder, fold), run, sizes)
        _predict(run, fold, "float32", load_trained(run))


def quantize_fold(folder: Path, fold: int, sizes: Sizes | None = None) -> None:
    """Convert the detector of a trained fold to int8 and predict on the fold, unless done."""
    run = fold_folder(folder, fold, sizes)
    if (run.path / PREDICTIONS["int8"]).exists():
        return
    export_step(run)
    tflite_step(run, precisions=("int8",))
    size = run.configured()[0].input_size
    _predict(run, fold, "int8", load_exported(run.export, "int8", size, size))


def _predict(run: RunFolder, fold: int, precision: str, runtime: Runtime) -> None:
    photos = run.photos_of_fold(fold)
    found = zip(photos, predict(runtime, photos), strict=True)
    save_predictions({photo.path.name: item for photo, item in found}, run.path / PREDICTIONS[precision])


def assess_folds(
    folder: Path,
    recipe: Recipe,
    folds: Sequence[int],
    *,
    score_threshold: float | None = None,
    sizes: Sizes | None = None,
) -> str:
    """Write figures and plots over the predictions of these folds, and return their text.

    With two folds or more, the figures of calibrated scores follow if there is enough to calibrate on. The threshold is
    the screened class's before calibration, by default that of the highest F1 on these photos. `sizes` are other input
    sizes than the recipe's, see `enlarge_fold`.
    """
    found = read_out_of_fold(folder, folds, sizes=sizes)
    boxes = sum(len(photo.class_ids) for photo in found.photos)
    minutes = sum(json.loads((fold_folder(folder, fold).path / SECONDS).read_text("utf-8")) for fold in folds) / 60
    facts = {"recipe": recipe.as_dict(), "folds": list(folds), "minutes": minutes}
    name, out = recipe.model_name, at(folder, sizes)
    if sizes is not None:
        facts["sizes"] = list(sizes)
        name = f"{name} at {sizes_text(sizes)} px"
    measured = (
        f"{len(found.photos)} photos, {boxes} boxes, each by a detector trained without its fold (folds "
        f"{', '.join(map(str, folds))}); {minutes:.0f} minutes of training on {this_machine()}."
    )
    heading = f"# {name}, out of fold\n\n{measured}" + ("" if score_threshold is not None else f"\n{SAME_PHOTOS}")
    assessment = assess_sources(found.photos, found.predictions, score_threshold=score_threshold)
    text = write_assessment(assessment, heading, out, **facts)
    if len(folds) == 1:
        return text
    try:
        calibrated = cross_fitted(found.photos, found.predictions)
    except CalibrationError as error:
        return f"{text}\nNot calibrated: {error}.\n"
    heading = f"# {name}, out of fold, calibrated\n\n{measured} Calibrated on the other folds.\n{SAME_PHOTOS}"
    return f"{text}\n{write_assessment(assess_sources(found.photos, calibrated), heading, out / 'calibrated', **facts)}"
