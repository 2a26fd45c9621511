"""Cross-validation by fold: every photo is judged once, by a detector that saw none of its group.

The folder of a cross-validation:

    records/               the photos, prepared once
    fold_0/ ... fold_4/    the folder of a run each, and predictions.npz once its training has ended
                           predictions_int8.npz of its int8 model, where that was asked for
    evaluation.json, .md   figures of all predictions together, with plots
    calibrated/            the same with calibrated scores, each fold's fitted on the others
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.detections import Detections
from training.annotations import FOLDS, AnnotatedPhoto
from training.errors import TrainingError
from training.predictions import load_predictions, save_predictions
from training.recipe import Recipe
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
    """
    from training.evaluate import predict
    from training.export import find_checkpoint
    from training.model_runtime import load_checkpoint
    from training.run import configure_step, say, train_step

    run = fold_folder(folder, fold)
    if (run.path / PREDICTIONS["float32"]).exists():
        say(f"fold {fold}    finished earlier")
        return
    started = time.monotonic()
    configure_step(run, recipe, validation_fold=fold)
    train_step(run)
    photos = [photo for photo in run.photos() if photo.fold == fold]
    found = predict(load_checkpoint(run.pipeline_config, find_checkpoint(run.checkpoints)), photos)
    (run.path / SECONDS).write_text(json.dumps(round(time.monotonic() - started)) + "\n", encoding="utf-8")
    save_predictions(
        {photo.path.name: item for photo, item in zip(photos, found, strict=True)}, run.path / PREDICTIONS["float32"]
    )


def quantize_fold(folder: Path, fold: int) -> None:
    """Converts the detector of a trained fold to int8 and predicts on the fold; does nothing twice.

    Args:
        folder: of the cross-validation.
        fold: has been trained.
    """
    from training.evaluate import load_exported, predict
    from training.run import export_step, tflite_step

    run = fold_folder(folder, fold)
    if (run.path / PREDICTIONS["int8"]).exists():
        return
    export_step(run)
    tflite_step(run, precisions=("int8",))
    recipe, _ = run.configured()
    photos = [photo for photo in run.photos() if photo.fold == fold]
    found = predict(load_exported(run.export, "int8", recipe.input_size), photos)
    save_predictions(
        {photo.path.name: item for photo, item in zip(photos, found, strict=True)}, run.path / PREDICTIONS["int8"]
    )


def assess_folds(folder: Path, recipe: Recipe, folds: Sequence[int], *, score_threshold: float | None = None) -> str:
    """Measures the predictions of these folds together; writes figures and plots, and returns their text.

    With two folds or more, the figures of calibrated scores follow, if there is anything to calibrate on.

    Args:
        folder: of the cross-validation.
        recipe: what was trained.
        folds: every one of them has been trained.
        score_threshold: of the screened class, before calibration; that of the highest F1 on these photos if None.
    """
    from training.machine import this_machine
    from training.score_calibration import CalibrationError, cross_fitted

    found = read_out_of_fold(folder, folds)
    boxes = sum(len(photo.class_ids) for photo in found.photos)
    minutes = sum(json.loads((fold_folder(folder, fold).path / SECONDS).read_text("utf-8")) for fold in folds) / 60
    state = {"recipe": recipe.as_dict(), "folds": list(folds), "minutes": minutes}
    heading = (
        f"{len(found.photos)} photos, {boxes} boxes, each judged by a detector trained without its fold (folds "
        f"{', '.join(map(str, folds))}); {minutes:.0f} minutes of training on {this_machine()}."
    )
    text = _assess(folder, f"# {recipe.model_name}, out of fold\n\n{heading}", found, score_threshold, state)
    if len(folds) > 1:
        try:
            calibrated = OutOfFold(found.photos, cross_fitted(found.photos, found.predictions))
        except CalibrationError as error:
            return f"{text}\nNot calibrated: {error}.\n"
        title = f"# {recipe.model_name}, out of fold, calibrated\n\n{heading} Calibrated by the other folds."
        text += "\n" + _assess(folder / "calibrated", title, calibrated, None, state)
    return text


def _assess(out: Path, heading: str, found: OutOfFold, score_threshold: float | None, state: dict[str, Any]) -> str:
    from training.assessment import assess, markdown
    from training.plots import write_plots

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


def compare_precisions(folder: Path, folds: Sequence[int]) -> str:
    """What int8 costs out of fold: differences of calibrated figures, with intervals over photos; one line for each."""
    from training.metrics import average_precisions, bootstrap, coco_evaluation
    from training.score_calibration import fit

    of = {name: read_out_of_fold(folder, folds, name) for name in PREDICTIONS}
    photos = of["float32"].photos
    # The bundle has one calibration, which is the float32 detector's.
    calibration = fit(photos, of["float32"].predictions)
    evaluations = [
        coco_evaluation(photos, [calibration.apply(item) for item in of[name].predictions]) for name in PREDICTIONS
    ]

    def differences(sample: Sequence[int]) -> dict[str, float]:
        float32, int8 = (average_precisions(evaluation, sample) for evaluation in evaluations)
        return {name: int8[name] - float32[name] for name in float32}

    values, intervals = differences(range(len(photos))), bootstrap(len(photos), differences)
    (folder / "int8.json").write_text(
        json.dumps({name: {"value": value, "interval": intervals[name]} for name, value in values.items()}, indent=2)
        + "\n",
        encoding="utf-8",
    )
    return "".join(
        f"int8 - float32  {name}: {value:+.4f} [{intervals[name][0]:+.4f}, {intervals[name][1]:+.4f}]\n"
        for name, value in values.items()
    )


def fold_folder(folder: Path, fold: int) -> RunFolder:
    """The run with this fold held out."""
    return RunFolder(folder / f"fold_{fold}", shared_records=folder / "records")


def read_out_of_fold(folder: Path, folds: Sequence[int] = range(FOLDS), precision: str = "float32") -> OutOfFold:
    """The predictions of these folds, of the checkpoint (`float32`) or of the `int8` model.

    Raises:
        CrossValidationError: one of the folds has none yet.
    """
    photos: list[AnnotatedPhoto] = []
    predictions: list[Detections] = []
    for fold in folds:
        run = fold_folder(folder, fold)
        path = run.path / PREDICTIONS[precision]
        if not path.exists():
            raise CrossValidationError(f"{run.path} holds no {path.name}: fold {fold} has not been trained to its end")
        found = load_predictions(path)
        held_out = [photo for photo in run.photos() if photo.fold == fold]
        photos += held_out
        predictions += [found[photo.path.name] for photo in held_out]
    if not photos:
        raise CrossValidationError(f"the folds {', '.join(map(str, folds))} hold no photo")
    return OutOfFold(photos, predictions)
