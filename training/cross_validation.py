"""Cross-validation by fold: every photo is judged once, by a detector that saw none of its group.

The folder of a cross-validation:

    records/               the photos, prepared once
    fold_0/ ... fold_4/    the folder of a run each, and predictions.npz once its training has ended
    evaluation.json, .md   figures of all predictions together, with plots
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.detections import Detections
from training.annotations import FOLDS, AnnotatedPhoto
from training.errors import TrainingError
from training.predictions import load_predictions, save_predictions
from training.recipe import Recipe
from training.run_folder import RunFolder

PREDICTIONS = "predictions.npz"
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
    if (run.path / PREDICTIONS).exists():
        say(f"fold {fold}    finished earlier")
        return
    started = time.monotonic()
    configure_step(run, recipe, validation_fold=fold)
    train_step(run)
    photos = [photo for photo in run.photos() if photo.fold == fold]
    found = predict(load_checkpoint(run.pipeline_config, find_checkpoint(run.checkpoints)), photos)
    (run.path / SECONDS).write_text(json.dumps(round(time.monotonic() - started)) + "\n", encoding="utf-8")
    save_predictions({photo.path.name: item for photo, item in zip(photos, found, strict=True)}, run.path / PREDICTIONS)


def assess_folds(folder: Path, recipe: Recipe, folds: Sequence[int], *, score_threshold: float | None = None) -> str:
    """Measures the predictions of these folds together; writes figures and plots, and returns their text.

    Args:
        folder: of the cross-validation.
        recipe: what was trained.
        folds: every one of them has been trained.
        score_threshold: of the screened class; that of the highest F1 on these photos if None.
    """
    from training.assessment import assess, markdown
    from training.machine import this_machine
    from training.plots import write_plots

    found = read_out_of_fold(folder, folds)
    assessment = assess(found.photos, found.predictions, score_threshold=score_threshold)
    boxes = sum(len(photo.class_ids) for photo in found.photos)
    minutes = sum(json.loads((fold_folder(folder, fold).path / SECONDS).read_text("utf-8")) for fold in folds) / 60
    heading = [
        f"# {recipe.model_name}, out of fold",
        "",
        f"{len(found.photos)} photos, {boxes} boxes, each judged by a detector trained without its fold (folds "
        f"{', '.join(map(str, folds))}); {minutes:.0f} minutes of training on {this_machine()}.",
    ]
    if score_threshold is None:
        heading.append("The score threshold was chosen on these same photos, which flatters the figures at it.")
    text = markdown(assessment, "\n".join(heading))
    (folder / "evaluation.md").write_text(text, encoding="utf-8")
    state = {"recipe": recipe.as_dict(), "folds": list(folds), "minutes": minutes, **assessment.as_dict()}
    (folder / "evaluation.json").write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    write_plots(assessment, folder)
    return text


def fold_folder(folder: Path, fold: int) -> RunFolder:
    """The run with this fold held out."""
    return RunFolder(folder / f"fold_{fold}", shared_records=folder / "records")


def read_out_of_fold(folder: Path, folds: Sequence[int] = range(FOLDS)) -> OutOfFold:
    """The predictions of these folds.

    Raises:
        CrossValidationError: one of the folds has none yet.
    """
    photos: list[AnnotatedPhoto] = []
    predictions: list[Detections] = []
    for fold in folds:
        run = fold_folder(folder, fold)
        path = run.path / PREDICTIONS
        if not path.exists():
            raise CrossValidationError(
                f"{run.path} holds no {PREDICTIONS}: fold {fold} has not been trained to its end"
            )
        found = load_predictions(path)
        held_out = [photo for photo in run.photos() if photo.fold == fold]
        photos += held_out
        predictions += [found[photo.path.name] for photo in held_out]
    if not photos:
        raise CrossValidationError(f"the folds {', '.join(map(str, folds))} hold no photo")
    return OutOfFold(photos, predictions)
