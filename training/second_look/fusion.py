"""The detector's scores and further opinions of a tooth as one: a logistic regression for each class.

It is the regression of `app.calibration` with further features of a tooth; with none it is that regression itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from app.calibration import FLOOR, teeth, tooth_features
from app.detections import Detections, FloatArray
from training.annotations import CLASS_IDS, AnnotatedPhoto
from training.score_calibration import CalibrationError, correct_teeth, logistic_regression

Floats = npt.NDArray[np.float64]

IDS = tuple(CLASS_IDS.values())


@dataclass(frozen=True, slots=True)
class SeenTeeth:
    """The teeth that a detector saw on a photo.

    Attributes:
        boxes: float32 `[n, 4]`, the best box of each tooth.
        scores: float64 `[n, 2]`, the detector's highest score of each class of `CLASS_IDS` on it.
        opinions: name to logits, float64 `[n, any]`.
    """

    boxes: FloatArray
    scores: Floats
    opinions: Mapping[str, Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, detections: Detections) -> SeenTeeth:
        """The teeth among everything that a detector saw."""
        return cls(*teeth(detections, IDS))


def features(seen: SeenTeeth, names: Sequence[str]) -> Floats:
    """What the regressions see: the detector's scores, see `app.calibration.tooth_features`, and these opinions."""
    return np.column_stack([tooth_features(seen.scores), *(seen.opinions[name] for name in names)])


def other_teeth(seen: SeenTeeth) -> Floats:
    """How carious the detector finds the photo's teeth in the mean, weighted by how surely each is one; `[n, 1]`."""
    weights = seen.scores.max(axis=1, initial=0.0)
    margins = _logits(seen.scores[:, 1]) - _logits(seen.scores[:, 0])
    mean = (weights @ margins) / max(float(weights.sum()), FLOOR)
    return np.full((len(weights), 1), mean)


def classifier_logits(probabilities: Floats) -> Floats:
    """Logit of caries among teeth, and of no tooth where that is a class; float64 `[n, 1 or 2]`."""
    caries = probabilities[:, 1] / probabilities[:, :2].sum(axis=1)
    return np.column_stack([_logits(caries), *(_logits(probabilities[:, 2:]).T)])


def _logits(probabilities: Floats) -> Floats:
    held = np.clip(probabilities, FLOOR, 1 - FLOOR)
    logits: Floats = np.log(held / (1 - held))
    return logits


def fit(photos: Sequence[AnnotatedPhoto], seen: Sequence[SeenTeeth], names: Sequence[str]) -> Floats:
    """Weights and, last, bias of each class's regression; float64 `[2, f + 1]`.

    Raises:
        CalibrationError: there is no photo, or all boxes of a class are right, or all wrong.
    """
    if not photos:
        raise CalibrationError("no photo to fit the scores on")
    values = np.concatenate([features(item, names) for item in seen])
    fitted = []
    for column, class_id in enumerate(IDS):
        right = np.concatenate(
            [
                correct_teeth(photo, item.boxes, item.scores[:, column], class_id)
                for photo, item in zip(photos, seen, strict=True)
            ]
        )
        if right.all() or not right.any():
            raise CalibrationError(f"of {len(right)} teeth detected, {right.sum()} bear label {class_id}")
        fitted.append(logistic_regression(values, right))
    return np.stack(fitted)


def apply(seen: SeenTeeth, names: Sequence[str], fitted: Floats) -> Detections:
    """One box for each tooth and class, its score the probability that the tooth bears this label."""
    logits = features(seen, names) @ fitted[:, :-1].T + fitted[:, -1]
    scores = 1 / (1 + np.exp(-logits))
    return Detections(
        np.repeat(seen.boxes, len(IDS), axis=0),
        scores.reshape(-1).astype(np.float32),
        np.tile(np.array(IDS, np.int32), len(seen.boxes)),
    )


def cross_fitted(
    photos: Sequence[AnnotatedPhoto], seen: Sequence[SeenTeeth], names: Sequence[str], parts: Sequence[int]
) -> list[Detections]:
    """The photos of each part, scored by regressions fitted on the other parts.

    Args:
        photos: labelled.
        seen: by detectors and others that did not see the photo in training.
        names: the opinions that the regressions see.
        parts: of each photo; photos of a group share a part.
    """
    fitted = {}
    for part in sorted(set(parts)):
        others = [place for place, other in enumerate(parts) if other != part]
        fitted[part] = fit([photos[place] for place in others], [seen[place] for place in others], names)
    return [apply(item, names, fitted[part]) for item, part in zip(seen, parts, strict=True)]
