"""Out-of-fold predictions: each photo's detections come from a detector that was trained without its fold.

The folder of a cross-validation (`training.cross_validation` writes it):

    records/               the prepared photos
    fold_0/ ... fold_4/    the folder of one run each, with predictions.npz once its training has ended,
                           and predictions_int8.npz of its int8 model if that was requested
        at_416/            the same weights at another input size, with their predictions
        at_416+320/        the same weights at two input sizes, fused
    evaluation.json, .md   figures over the predictions of all folds, with plots
    calibrated/            the same with calibrated scores, each fold's fitted on the other folds
    int8.json              the cost of int8
    at_416/                the same at another size, and gain.json: the gain over the recipe's size
    sizes.md               the calibrated figures of all sizes side by side

`run.json`, `seconds.json` and the predictions are enough for a fold to count as finished.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.detector.detections import Detections
from training.data.annotations import FOLDS, AnnotatedPhoto
from training.errors import TrainingError
from training.measure.predictions import load_predictions
from training.model.multi_scale import Sizes, sizes_text
from training.run_folder import RunFolder

PREDICTIONS = {"float32": "predictions.npz", "int8": "predictions_int8.npz"}


class CrossValidationError(TrainingError):
    """A fold is not trained, was trained by another recipe, or has no photo."""


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Photos and, for each, the detections of a detector that was not trained on its group."""

    photos: list[AnnotatedPhoto]
    predictions: list[Detections]


def fold_folder(folder: Path, fold: int, sizes: Sizes | None = None) -> RunFolder:
    """The run with this fold held out, or that of its weights at other sizes."""
    return RunFolder(at(folder / f"fold_{fold}", sizes), shared_records=folder / "records")


def at(folder: Path, sizes: Sizes | None) -> Path:
    """The subfolder for other sizes than the recipe's; the folder itself if None."""
    return folder if sizes is None else folder / f"at_{sizes_text(sizes)}"


def read_out_of_fold(
    folder: Path, folds: Sequence[int] = range(FOLDS), precision: str = "float32", *, sizes: Sizes | None = None
) -> OutOfFold:
    """The predictions of these folds: `float32` for those of the checkpoint, or `int8`. Raises CrossValidationError: a
    fold has no predictions yet."""
    found = OutOfFold([], [])
    for fold in folds:
        run = fold_folder(folder, fold, sizes)
        path = run.path / PREDICTIONS[precision]
        if not path.exists():
            reason = (
                "has not been trained to its end" if sizes is None else f"was not run at {sizes_text(sizes)} pixels"
            )
            raise CrossValidationError(f"{run.path} has no {path.name}: fold {fold} {reason}")
        by_name = load_predictions(path)
        held_out = run.photos_of_fold(fold)
        found.photos.extend(held_out)
        found.predictions.extend(by_name[photo.path.name] for photo in held_out)
    if not found.photos:
        raise CrossValidationError(f"there is no photo in folds {', '.join(map(str, folds))}")
    return found
