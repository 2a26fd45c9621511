"""A detector's scores as probabilities: one tooth, one box, and for each class how likely a label of it is.

A detector gives a tooth several boxes of both classes, and scores that are not chances of anything. Boxes of any class
that overlap are taken as one tooth, and a logistic regression for each class (Platt 1999, with the other class's score
as a second opinion) turns the tooth's scores into probabilities. `training.measure.score_calibration` fits it on photos
that the detector was not trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from app.detector.detections import Detections, FloatArray
from app.screening import tooth_numbers

Floats = npt.NDArray[np.float64]

MIN_SCORE = 0.02
"""Boxes below this score take no part: a detector returns up to a hundred a photo, and nearly all of them are noise."""

FLOOR = 0.001
"""Scores are held this far from 0 and 1, where their logits have no end."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The logistic regressions of a detector with `c` classes.

    Attributes:
        class_ids: `[c]`, ids of the label map.
        weights: float64 `[c, c + 1]`: for each class the weights of `tooth_features`.
        biases: float64 `[c]`.
    """

    class_ids: tuple[int, ...]
    weights: Floats
    biases: Floats

    def apply(self, detections: Detections) -> Detections:
        """One box for each tooth and class, its score the probability that the tooth bears this label."""
        boxes, scores = teeth(detections, self.class_ids)
        logits = tooth_features(scores) @ self.weights.T + self.biases
        probabilities = 1 / (1 + np.exp(-logits))
        return Detections(
            np.repeat(boxes, len(self.class_ids), axis=0),
            probabilities.reshape(-1).astype(np.float32),
            np.tile(np.array(self.class_ids, np.int32), len(boxes)),
        )

    @classmethod
    def of_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `as_dict` returned.

        Raises:
            KeyError, TypeError, ValueError: it is not that.
        """
        entries = values["classes"]
        weights = np.array([entry["weights"] for entry in entries], np.float64)
        biases = np.array([entry["bias"] for entry in entries], np.float64)
        if weights.shape != (len(entries), len(entries) + 1) or not np.isfinite([*weights.flat, *biases.flat]).all():
            raise ValueError(f"calibration weights of shape {weights.shape} for {len(entries)} classes")
        return cls(tuple(int(entry["id"]) for entry in entries), weights, biases)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON, under the key `calibration` of `bundle.json`."""
        rows = zip(self.class_ids, self.weights.tolist(), self.biases.tolist(), strict=True)
        return {"classes": [{"id": class_id, "weights": weights, "bias": bias} for class_id, weights, bias in rows]}


def teeth(detections: Detections, class_ids: tuple[int, ...]) -> tuple[FloatArray, Floats]:
    """The teeth that the detections show.

    Returns:
        The box of the highest score of each tooth, float32 `[n, 4]`, and the highest score of each class on it, 0 where
        it has none, float64 `[n, c]`.
    """
    kept = detections.where(detections.scores >= MIN_SCORE)
    numbers = tooth_numbers(kept)
    count = int(numbers.max(initial=-1)) + 1
    scores = np.zeros((count, len(class_ids)))
    for column, class_id in enumerate(class_ids):
        of_class = kept.class_ids == class_id
        np.maximum.at(scores[:, column], numbers[of_class], kept.scores[of_class])
    # Detections come by score, so the first of each tooth is its best.
    _, first = np.unique(numbers, return_index=True)
    return kept.boxes[first], scores


def tooth_features(scores: Floats) -> Floats:
    """What the regressions see of `[n, c]` scores: the logit of each, and of the highest; float64 `[n, c + 1]`."""
    with_highest = np.concatenate([scores, scores.max(axis=1, initial=0.0, keepdims=True)], axis=1)
    held = np.clip(with_highest, FLOOR, 1 - FLOOR)
    features: Floats = np.log(held / (1 - held))
    return features
