"""Do the exported models say the same? TFLite float32 and int8 are compared with the SavedModel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from app.detections import Detections
from app.screening import box_iou
from training.errors import TrainingError

PER_PHOTO = 20
"""The detections of highest score of each photo that are compared."""

SAME_BOX_IOU = 0.9
"""A detection is found again in another model from this overlap on, in the same class."""

MAX_SCORE_DIFFERENCE = 0.001
MAX_BOX_DIFFERENCE = 0.001
"""Bounds for float32: rounding in another order stays well below them. Boxes as fractions of the photo."""


class ParityError(TrainingError):
    """The float32 TFLite model differs from the SavedModel by more than rounding."""


@dataclass(frozen=True, slots=True)
class Parity:
    """Differences of a model from the reference, over the reference's `PER_PHOTO` best detections on each photo.

    Attributes:
        compared: how many detections.
        not_found: how many of them the other model lacks.
        max_score_difference, mean_score_difference: of those found.
        max_box_difference, mean_box_difference: largest coordinate difference of a box, as a fraction of the photo.
    """

    compared: int
    not_found: int
    max_score_difference: float
    mean_score_difference: float
    max_box_difference: float
    mean_box_difference: float

    @property
    def is_rounding(self) -> bool:
        """Whether the differences are no more than rounding."""
        return (
            self.compared > 0
            and self.not_found == 0
            and self.max_score_difference <= MAX_SCORE_DIFFERENCE
            and self.max_box_difference <= MAX_BOX_DIFFERENCE
        )

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def compare(reference: Sequence[Detections], other: Sequence[Detections]) -> Parity:
    """Differences photo by photo; both sequences are over the same photos."""
    scores: list[float] = []
    boxes: list[float] = []
    not_found = 0
    for expected, found in zip(reference, other, strict=True):
        overlaps = box_iou(expected.boxes, found.boxes)
        overlaps[expected.class_ids[:, None] != found.class_ids[None, :]] = 0
        for row, (box, score, _) in enumerate(expected.head(PER_PHOTO)):
            candidates = np.flatnonzero(overlaps[row] >= SAME_BOX_IOU)
            if not len(candidates):
                not_found += 1
                continue
            # Neighbouring anchors yield nearly equal boxes: the nearest in score is the same one.
            nearest = candidates[np.abs(found.scores[candidates] - score).argmin()]
            scores.append(abs(float(found.scores[nearest]) - score))
            boxes.append(float(np.abs(found.boxes[nearest] - box).max()))
    return Parity(
        compared=len(scores) + not_found,
        not_found=not_found,
        max_score_difference=max(scores, default=0.0),
        mean_score_difference=float(np.mean(scores)) if scores else 0.0,
        max_box_difference=max(boxes, default=0.0),
        mean_box_difference=float(np.mean(boxes)) if boxes else 0.0,
    )
