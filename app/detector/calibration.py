"""Score calibration: the detector's boxes become one box per tooth and class, scored with a probability.

A detector returns several boxes of both classes for a tooth, with uncalibrated scores. Overlapping boxes of any class
count as one tooth, and one logistic regression per class (Platt 1999, with the scores of all classes as features) maps
the tooth's scores to probabilities. `training.measure.calibration` fits it on photos held out from training.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from app.detector.boxes import tooth_numbers
from app.detector.detections import Detections, FloatArray

Floats = npt.NDArray[np.float64]

MIN_SCORE = 0.02
"""Boxes below this score are ignored: of up to a hundred boxes per photo, nearly all are noise."""

FLOOR = 0.001
"""Scores are clipped to this distance from 0 and 1, where the logit is infinite."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """One logistic regression for each of a detector's `c` classes.

    Attributes:
        class_ids: `[c]`, ids of the label map.
        weights: float64 `[c, c + 1]`: for each class the weights of `tooth_features`.
        biases: float64 `[c]`.
    """

    class_ids: tuple[int, ...]
    weights: Floats
    biases: Floats

    def apply(self, detections: Detections) -> Detections:
        """One box per tooth and class; its score is the probability that the tooth has that label."""
        boxes, scores = teeth(detections, self.class_ids)
        logits = tooth_features(scores) @ self.weights.T + self.biases
        probabilities = 1 / (1 + np.exp(-logits))
        return Detections(
            np.repeat(boxes, len(self.class_ids), axis=0),
            probabilities.reshape(-1).astype(np.float32),
            np.tile(np.array(self.class_ids, np.int32), len(boxes)),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`.

        Raises:
            KeyError, TypeError, ValueError: the values are not a calibration.
        """
        entries = values["classes"]
        weights = np.array([entry["weights"] for entry in entries], np.float64)
        biases = np.array([entry["bias"] for entry in entries], np.float64)
        if weights.shape != (len(entries), len(entries) + 1) or not np.isfinite([*weights.flat, *biases.flat]).all():
            raise ValueError(f"calibration weights of shape {weights.shape} for {len(entries)} classes")
        return cls(tuple(int(entry["id"]) for entry in entries), weights, biases)

    def as_dict(self) -> dict[str, Any]:
        """The JSON value of the key `calibration` in `bundle.json`."""
        rows = zip(self.class_ids, self.weights.tolist(), self.biases.tolist(), strict=True)
        return {"classes": [{"id": class_id, "weights": weights, "bias": bias} for class_id, weights, bias in rows]}


def teeth(detections: Detections, class_ids: tuple[int, ...]) -> tuple[FloatArray, Floats]:
    """The teeth on the photo.

    Returns:
        The best box of each tooth, float32 `[n, 4]`, and each class's highest score on it (0 without a box of that
        class), float64 `[n, c]`.
    """
    kept = detections.where(detections.scores >= MIN_SCORE)
    numbers = tooth_numbers(kept)
    count = int(numbers.max(initial=-1)) + 1
    scores = np.zeros((count, len(class_ids)))
    for column, class_id in enumerate(class_ids):
        of_class = kept.class_ids == class_id
        np.maximum.at(scores[:, column], numbers[of_class], kept.scores[of_class])
    # Detections are sorted by score, so the first of each tooth is its best.
    _, first = np.unique(numbers, return_index=True)
    return kept.boxes[first], scores


def tooth_features(scores: Floats) -> Floats:
    """The features of `[n, c]` scores: the logit of each, and of the highest; float64 `[n, c + 1]`."""
    with_highest = np.concatenate([scores, scores.max(axis=1, initial=0.0, keepdims=True)], axis=1)
    clipped = np.clip(with_highest, FLOOR, 1 - FLOOR)
    features: Floats = np.log(clipped / (1 - clipped))
    return features
