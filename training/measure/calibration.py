"""Fit the calibration that `app.detector.calibration` applies, on out-of-fold detections and their labels."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from app.detector.calibration import Calibration, teeth, tooth_features
from app.detector.detections import Detections
from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.errors import TrainingError
from training.measure.metrics import SCREENED_CLASS, Floats, match, part_of

RIDGE = 1e-3
"""Weight of the L2 penalty, which keeps the weights finite on separable data."""

PARTS = 5
"""Parts into which the photos of a single fold are divided. Calibrations on fewer photos differ in scale, so that one
threshold fits them less well."""


class CalibrationError(TrainingError):
    """There is not enough to fit on."""


def fit(photos: Sequence[AnnotatedPhoto], predictions: Sequence[Detections]) -> Calibration:
    """Fit the regressions that predict which detections of these photos are right. Every source has the same total
    weight; one without a `normal` box does not label sound teeth and is left out of the regression of
    `normal`. The detectors must not have been trained on the photos; otherwise the probabilities are too high.

    Raises CalibrationError: no tooth was detected, or the detections of a class are all right or all wrong.
    """
    class_ids = tuple(CLASS_IDS.values())
    found = [teeth(detections, class_ids) for detections in predictions]
    features = tooth_features(np.concatenate([np.zeros((0, len(class_ids))), *(scores for _, scores in found)]))
    source_of = np.repeat([photo.source for photo in photos], [len(boxes) for boxes, _ in found])
    weights, biases = [], []
    for column, (name, class_id) in enumerate(CLASS_IDS.items()):
        correct = [
            correct_teeth(photo, boxes, scores[:, column], class_id)
            for photo, (boxes, scores) in zip(photos, found, strict=True)
        ]
        labelled = {photo.source for photo in photos if name == SCREENED_CLASS or (photo.class_ids == class_id).any()}
        counted = np.isin(source_of, sorted(labelled))
        right = np.concatenate([np.zeros(0, bool), *correct])[counted]
        if right.all() or not right.any():
            raise CalibrationError(f"of {len(right)} teeth detected, {right.sum()} are {name}: nothing to calibrate on")
        fitted = logistic_regression(features[counted], right, _equal_sources(source_of[counted]))
        weights.append(fitted[:-1])
        biases.append(fitted[-1])
    return Calibration(class_ids, np.stack(weights), np.array(biases))


def cross_fitted(
    photos: Sequence[AnnotatedPhoto],
    predictions: Sequence[Detections],
    *,
    fitted_on: Sequence[Detections] | None = None,
) -> list[Detections]:
    """The predictions of each fold, calibrated on the other folds, by default on their own `predictions`. Photos of one
    fold are divided by group into `PARTS` instead. Raises CalibrationError: fewer than two parts, or see `fit`."""
    folds = [photo.fold for photo in photos]
    parts = folds if len(set(folds)) > 1 else [part_of(photo, PARTS) for photo in photos]
    if len(set(parts)) < 2:
        raise CalibrationError("photos of one group only: calibration is judged on photos that it was not fitted on")
    fitted_on = predictions if fitted_on is None else fitted_on
    of_part = {}
    for part in sorted(set(parts)):
        others = [position for position, number in enumerate(parts) if number != part]
        of_part[part] = fit([photos[position] for position in others], [fitted_on[position] for position in others])
    return [of_part[part].apply(found) for part, found in zip(parts, predictions, strict=True)]


def correct_teeth(
    photo: AnnotatedPhoto, boxes: npt.NDArray[np.float32], scores: Floats, class_id: int
) -> npt.NDArray[np.bool_]:
    """Which teeth are labelled with the class; bool `[n]` in the order of `boxes`."""
    order = np.argsort(-scores.astype(np.float32), kind="stable")
    of_class = Detections(boxes, scores.astype(np.float32), np.full(len(boxes), class_id, np.int32))
    found = match(photo, of_class, class_id)
    correct = np.zeros(len(boxes), bool)
    correct[order] = found.correct
    return correct


def logistic_regression(features: Floats, right: npt.NDArray[np.bool_], weights: Floats) -> Floats:
    """Maximum-likelihood weights and, last, bias, float64 `[f + 1]`, of samples whose weights have a mean of 1."""
    signs = np.where(right, 1.0, -1.0)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        margins = signs * (features @ parameters[:-1] + parameters[-1])
        pull = -weights * signs / (1 + np.exp(margins)) / len(signs)
        value = float((weights * np.logaddexp(0, -margins)).mean() + RIDGE / 2 * parameters[:-1] @ parameters[:-1])
        return value, np.append(features.T @ pull + RIDGE * parameters[:-1], pull.sum())

    fitted: Floats = minimize(loss, np.zeros(features.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return fitted


def _equal_sources(source_of: npt.NDArray[np.str_]) -> Floats:
    """Weights of mean 1 that give every source the same total."""
    _, numbers, counts = np.unique(source_of, return_inverse=True, return_counts=True)
    weights: Floats = len(source_of) / len(counts) / counts[numbers]
    return weights
