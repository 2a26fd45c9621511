"""What a cross-validation says of a detector that its recipe trained on all photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training.data.annotations import FOLDS, AnnotatedPhoto
from training.measure.assessment import assess
from training.measure.cross_validation import PREDICTIONS, CrossValidationError, fold_folder, read_out_of_fold
from training.measure.evaluate import match_screened, operating_point
from training.measure.score_calibration import cross_fitted, fit
from training.recipe import NAMES, Recipe
from training.release.package import Evidence

SAME_TRAINING = (*NAMES, "input_size", "multi_scale")
"""What a recipe may say otherwise and still train the same weights, which may be run at other sizes."""


def check_same_training(folder: Path, recipe: Recipe, trained_input_size: int | None = None) -> None:
    """Raises CrossValidationError unless every fold of a cross-validation was trained as this detector was.

    Args:
        folder: of the cross-validation.
        recipe: of the detector.
        trained_input_size: pixels, where its weights were trained at another size than the recipe's.
    """
    trained_at = trained_input_size or recipe.input_size
    # Looking at a training does not change it, unless that may end it.
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


def out_of_fold_evidence(
    folder: Path, recipe: Recipe, trained_on: Sequence[AnnotatedPhoto], *, trained_input_size: int | None = None
) -> Evidence:
    """Calibration and operating point from predictions on photos that their detectors never saw.

    The figures are those of calibrated scores, each fold's calibrated on the others; the calibration that is released
    is fitted on all of them.

    Args:
        folder: of a cross-validation over all folds; where its recipe has other sizes than the one to be released, it
            was run at those as well.
        recipe: of the detector that is to be released.
        trained_on: the photos that it was trained on.
        trained_input_size: pixels, where its weights were trained at another size than the recipe's.

    Raises:
        CrossValidationError: a fold is missing, or was trained by another recipe or at another size.
    """
    check_same_training(folder, recipe, trained_input_size)
    of_first, _ = fold_folder(folder, 0).configured()
    sizes = None if of_first.sizes == recipe.sizes else recipe.sizes
    found = read_out_of_fold(folder, sizes=sizes)
    calibrated = cross_fitted(found.photos, found.predictions)
    threshold, counts = operating_point(found.photos, match_screened(found.photos, calibrated))
    evaluations = {"float32": assess(found.photos, calibrated, score_threshold=threshold).as_dict()}
    if (fold_folder(folder, 0, sizes).path / PREDICTIONS["int8"]).exists():
        int8 = read_out_of_fold(folder, precision="int8", sizes=sizes).predictions
        quantized = cross_fitted(found.photos, int8, fitted_on=found.predictions)
        evaluations["int8"] = assess(found.photos, quantized, score_threshold=threshold).as_dict()
    return Evidence(
        measured_on=f"{len(found.photos)} photos, each judged by a detector of the same recipe that was trained "
        "without the photo's fold",
        evaluations=evaluations,
        score_threshold=threshold,
        cross_fitted=counts,
        training_photos=len(trained_on),
        calibration=fit(found.photos, found.predictions),
    )
