"""Cross-validation by fold: every photo is judged once, by a detector that saw none of its group.

The folder of a cross-validation:

    records/               the photos, prepared once
    fold_0/ ... fold_4/    the folder of a run each, and predictions.npz once its training has ended
                           predictions_int8.npz of its int8 model, where that was asked for
        at_416/            the same weights at other sizes, where that was asked for, with their predictions
        at_416+320/        likewise, of a detector that looks at both
    evaluation.json, .md   figures of all predictions together, with plots
    calibrated/            the same with calibrated scores, each fold's fitted on the others
    int8.json              what int8 costs
    at_416/                the same at other sizes, and gain.json: what they gain
    sizes.md               the calibrated figures of all sizes side by side

What says how the photos were judged is `run.json`, `seconds.json` and the predictions: with these alone, trained folds
count as finished.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.detector.detections import Detections
from training.data.annotations import FOLDS, AnnotatedPhoto
from training.errors import TrainingError
from training.measure.predictions import load_predictions, save_predictions
from training.model.multi_scale import Sizes, sizes_text
from training.recipe import NAMES, Recipe
from training.run_folder import RunFolder

PREDICTIONS = {"float32": "predictions.npz", "int8": "predictions_int8.npz"}
SECONDS = "seconds.json"


class CrossValidationError(TrainingError):
    """A fold has not been trained, or there is none to judge."""


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Photos, and what detectors that never saw their group saw on them.

    Attributes:
        photos: those of the folds that were asked for.
        predictions: as many.
    """

    photos: list[AnnotatedPhoto]
    predictions: list[Detections]


def train_fold(folder: Path, recipe: Recipe, fold: int) -> None:
    """Trains with a fold held out and predicts on it; continues what was killed, and does nothing twice.

    Args:
        folder: of the cross-validation; its records are there.
        recipe: what to train.
        fold: which one is held out.

    Raises:
        CrossValidationError: the fold was finished with another recipe.
        RunError: it was begun with other photos, labels or folds.
    """
    from training.measure.evaluate import predict
    from training.model.train import seconds_trained
    from training.run import configure_step, load_trained, say, train_step

    run = fold_folder(folder, fold)
    if (run.path / PREDICTIONS["float32"]).exists():
        of_fold, _ = run.configured()
        if differences := of_fold.differences(recipe, apart_from=NAMES):
            raise CrossValidationError(f"{run.path} was trained by another recipe: {differences}")
        run.check_photos()
        say(f"fold {fold}    finished earlier")
        return
    configure_step(run, recipe, validation_fold=fold)
    train_step(run)
    (run.path / SECONDS).write_text(json.dumps(round(seconds_trained(run.checkpoints))) + "\n", encoding="utf-8")
    _save(run, fold, "float32", lambda photos: predict(load_trained(run), photos))


def enlarge_fold(folder: Path, fold: int, sizes: Sizes) -> None:
    """Predicts on the fold with its detector's weights at other sizes; does nothing twice.

    Args:
        folder: of the cross-validation.
        fold: has been trained.
        sizes: multiples of 32.
    """
    from training.measure.evaluate import predict
    from training.model.enlarged import enlarge_run
    from training.run import load_trained

    run = fold_folder(folder, fold, sizes)
    if not (run.path / PREDICTIONS["float32"]).exists():
        enlarge_run(fold_folder(folder, fold), run, sizes)
        _save(run, fold, "float32", lambda photos: predict(load_trained(run), photos))


def quantize_fold(folder: Path, fold: int, sizes: Sizes | None = None) -> None:
    """Converts the detector of a trained fold to int8 and predicts on the fold; does nothing twice.

    Args:
        folder: of the cross-validation.
        fold: has been trained.
        sizes: at which it has been run; those of the recipe if None.
    """
    from training.measure.evaluate import load_exported, predict
    from training.run import export_step, tflite_step

    run = fold_folder(folder, fold, sizes)
    if (run.path / PREDICTIONS["int8"]).exists():
        return
    export_step(run)
    tflite_step(run, precisions=("int8",))
    recipe, _ = run.configured()
    _save(run, fold, "int8", lambda photos: predict(load_exported(run.export, "int8", recipe.input_size), photos))


def _save(
    run: RunFolder, fold: int, precision: str, judge: Callable[[Sequence[AnnotatedPhoto]], Sequence[Detections]]
) -> None:
    photos = [photo for photo in run.photos() if photo.fold == fold]
    found = judge(photos)
    save_predictions(
        {photo.path.name: item for photo, item in zip(photos, found, strict=True)}, run.path / PREDICTIONS[precision]
    )


def assess_folds(
    folder: Path,
    recipe: Recipe,
    folds: Sequence[int],
    *,
    score_threshold: float | None = None,
    sizes: Sizes | None = None,
) -> str:
    """Measures the predictions of these folds together; writes figures and plots, and returns their text.

    With two folds or more, the figures of calibrated scores follow, if there is anything to calibrate on.

    Args:
        folder: of the cross-validation.
        recipe: what was trained.
        folds: every one of them has been trained.
        score_threshold: of the screened class, before calibration; that of the highest F1 on these photos if None.
        sizes: others than the recipe's, see `enlarge_fold`.
    """
    from training.machine import this_machine
    from training.measure.score_calibration import CalibrationError, cross_fitted

    found = read_out_of_fold(folder, folds, sizes=sizes)
    boxes = sum(len(photo.class_ids) for photo in found.photos)
    minutes = sum(json.loads((fold_folder(folder, fold).path / SECONDS).read_text("utf-8")) for fold in folds) / 60
    state = {"recipe": recipe.as_dict(), "folds": list(folds), "minutes": minutes}
    name, out = recipe.model_name, folder
    if sizes is not None:
        state["sizes"] = list(sizes)
        name, out = f"{name} at {sizes_text(sizes)} px", folder / at(sizes)
    heading = (
        f"{len(found.photos)} photos, {boxes} boxes, each judged by a detector trained without its fold (folds "
        f"{', '.join(map(str, folds))}); {minutes:.0f} minutes of training on {this_machine()}."
    )
    text = _assess(out, f"# {name}, out of fold\n\n{heading}", found, score_threshold, state)
    if len(folds) > 1:
        try:
            calibrated = OutOfFold(found.photos, cross_fitted(found.photos, found.predictions))
        except CalibrationError as error:
            return f"{text}\nNot calibrated: {error}.\n"
        title = f"# {name}, out of fold, calibrated\n\n{heading} Calibrated by the other folds."
        text += "\n" + _assess(out / "calibrated", title, calibrated, None, state)
    return text


def _assess(out: Path, heading: str, found: OutOfFold, score_threshold: float | None, state: dict[str, Any]) -> str:
    from training.measure.assessment import assess, markdown
    from training.measure.plots import write_plots

    if score_threshold is None:
        heading += "\nThe score threshold was chosen on these same photos, which flatters the figures at it."
    assessment = assess(found.photos, found.predictions, score_threshold=score_threshold)
    out.mkdir(exist_ok=True)
    text = markdown(assessment, heading)
    (out / "evaluation.md").write_text(text, encoding="utf-8")
    (out / "evaluation.json").write_text(
        json.dumps({**state, **assessment.as_dict()}, indent=2) + "\n", encoding="utf-8"
    )
    write_plots(assessment, out)
    return text


def fold_folder(folder: Path, fold: int, sizes: Sizes | None = None) -> RunFolder:
    """The run with this fold held out, or that of its weights at other sizes."""
    run = folder / f"fold_{fold}"
    return RunFolder(run if sizes is None else run / at(sizes), shared_records=folder / "records")


def at(sizes: Sizes) -> str:
    """The folder of what was measured at other sizes."""
    return f"at_{sizes_text(sizes)}"


def read_out_of_fold(
    folder: Path,
    folds: Sequence[int] = range(FOLDS),
    precision: str = "float32",
    *,
    sizes: Sizes | None = None,
) -> OutOfFold:
    """The predictions of these folds.

    Args:
        folder: of the cross-validation.
        folds: which.
        precision: `float32` for those of the checkpoint, or `int8`.
        sizes: others than the recipe's, at which they were predicted as well.

    Raises:
        CrossValidationError: one of the folds has none yet.
    """
    photos: list[AnnotatedPhoto] = []
    predictions: list[Detections] = []
    for fold in folds:
        run = fold_folder(folder, fold, sizes)
        path = run.path / PREDICTIONS[precision]
        if not path.exists():
            reason = (
                "has not been trained to its end" if sizes is None else f"was not run at {sizes_text(sizes)} pixels"
            )
            raise CrossValidationError(f"{run.path} holds no {path.name}: fold {fold} {reason}")
        found = load_predictions(path)
        held_out = [photo for photo in run.photos() if photo.fold == fold]
        photos += held_out
        predictions += [found[photo.path.name] for photo in held_out]
    if not photos:
        raise CrossValidationError(f"the folds {', '.join(map(str, folds))} hold no photo")
    return OutOfFold(photos, predictions)
