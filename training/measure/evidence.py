"""The evidence of a bundle's quality: figures, operating point and calibration, from a held-out fold or from a
cross-validation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.detector.calibration import Calibration
from app.detector.detections import Detections
from training.data.annotations import FOLDS, AnnotatedPhoto
from training.measure.cross_fitting import cross_fit
from training.measure.operating_points import OperatingPoints
from training.measure.out_of_fold import PREDICTIONS, CrossValidationError, fold_folder, read_out_of_fold
from training.recipe import NAMES, Recipe

SAME_TRAINING = (*NAMES, "input_size", "multi_scale")
"""Keys in which recipes may differ that train the same weights, since weights can be run at other sizes."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A detector's figures by model (such as `int8`), as `training.measure.sources.SourcesAssessment.as_dict`, its
    operating points, and its calibration, if any; `measured_on` names the photos in words."""

    measured_on: str
    evaluations: dict[str, dict[str, Any]]
    points: OperatingPoints
    training_photos: int
    calibration: Calibration | None = None


def held_out_evidence(
    fold: int | None,
    held_out: Sequence[AnnotatedPhoto],
    predictions: Mapping[str, Sequence[Detections]],
    *,
    training_photos: int,
) -> Evidence:
    """The evidence of the held-out fold, on which the first model's detections are calibrated. Raises PhotoError: a
    photo can no longer be read."""
    measured_on = f"fold {fold}, {len(held_out)} photos that the detector was not trained on"
    return _evidence(measured_on, held_out, predictions, training_photos)


def out_of_fold_evidence(
    folder: Path, recipe: Recipe, *, training_photos: int, trained_input_size: int | None = None
) -> Evidence:
    """The evidence of a cross-validation over all folds.

    Args:
        folder: of the cross-validation, which has predictions at the recipe's sizes.
        training_photos: number of photos that the released detector was trained on.
        trained_input_size: see `check_same_training`.

    Raises:
        CrossValidationError: a fold is missing, or see `check_same_training`.
        PhotoError: a photo can no longer be read.
    """
    check_same_training(folder, recipe, trained_input_size)
    of_first, _ = fold_folder(folder, 0).configured()
    sizes = None if of_first.sizes == recipe.sizes else recipe.sizes
    found = read_out_of_fold(folder, sizes=sizes)
    predictions = {"float32": found.predictions}
    if (fold_folder(folder, 0, sizes).path / PREDICTIONS["int8"]).exists():
        predictions["int8"] = read_out_of_fold(folder, precision="int8", sizes=sizes).predictions
    measured_on = (
        f"{len(found.photos)} photos, each by a detector of the same recipe that was trained without the photo's fold"
    )
    return _evidence(measured_on, found.photos, predictions, training_photos)


def _evidence(
    measured_on: str,
    photos: Sequence[AnnotatedPhoto],
    predictions: Mapping[str, Sequence[Detections]],
    training_photos: int,
) -> Evidence:
    """Calibration and operating points of the first model, with which the others are measured too."""
    first, *others = predictions.values()
    fitted = cross_fit(photos, first)
    assessments = [fitted.assess(), *(fitted.of_model(found).assess() for found in others)]
    evaluations = {model: one.as_dict() for model, one in zip(predictions, assessments, strict=True)}
    return Evidence(measured_on, evaluations, fitted.points, training_photos, fitted.calibration)


def check_same_training(folder: Path, recipe: Recipe, trained_input_size: int | None = None) -> None:
    """Raise CrossValidationError unless every fold of the cross-validation was trained as this detector was: by the
    recipe, at `trained_input_size` pixels if that is another size than the recipe's."""
    trained_at = trained_input_size or recipe.input_size
    # Evaluating during a training does not change it, unless that can stop it.
    same = SAME_TRAINING if recipe.early_stop_after else (*SAME_TRAINING, "evaluate_every")
    for fold in range(FOLDS):
        of_fold, _ = fold_folder(folder, fold).configured()
        if differences := of_fold.differences(recipe, apart_from=same):
            raise CrossValidationError(f"{folder} is a cross-validation of another recipe: {differences}")
        if of_fold.input_size != trained_at:
            raise CrossValidationError(
                f"{folder} is a cross-validation of detectors that were trained at {of_fold.input_size} pixels, not at "
                f"{trained_at}"
            )
