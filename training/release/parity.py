"""Do the exported models say the same? TFLite float32 and int8 are compared with the SavedModel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.detector.boxes import box_iou
from app.detector.detections import Detections
from training.errors import TrainingError

PER_PHOTO = 20
"""The detections of highest score of each photo that are compared."""

SAME_BOX_IOU = 0.9
"""A detection is found again in another model from this overlap on, in the same class."""

SAME_TOOTH_IOU = 0.5
TIE_SCORE_DIFFERENCE = 1e-5
"""Two boxes that overlap so much and score alike to this are a tie, of which suppression may keep either. Rounding in
another order moves scores by some 1e-6; a detector of few steps gives all its boxes scores within 1e-3."""

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
        ties: how many it replaces by another box of the same place and score, or cuts off at its limit of boxes where
            the scores are the same.
        max_score_difference, mean_score_difference: of those found.
        max_box_difference, mean_box_difference: largest coordinate difference of a box, as a fraction of the photo.
    """

    compared: int
    not_found: int
    ties: int
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
    not_found = ties = 0
    for expected, found in zip(reference, other, strict=True):
        overlaps = box_iou(expected.boxes, found.boxes)
        overlaps[expected.class_ids[:, None] != found.class_ids[None, :]] = 0
        for row, (box, score, _) in enumerate(expected.head(PER_PHOTO)):
            candidates = np.flatnonzero(overlaps[row] >= SAME_BOX_IOU)
            if not len(candidates):
                if _is_tie(overlaps[row], found, score, len(expected)):
                    ties += 1
                else:
                    not_found += 1
                continue
            # Neighbouring anchors yield nearly equal boxes: the nearest in score is the same one.
            nearest = candidates[np.abs(found.scores[candidates] - score).argmin()]
            scores.append(abs(float(found.scores[nearest]) - score))
            boxes.append(float(np.abs(found.boxes[nearest] - box).max()))
    return Parity(
        compared=len(scores) + not_found + ties,
        not_found=not_found,
        ties=ties,
        max_score_difference=max(scores, default=0.0),
        mean_score_difference=float(np.mean(scores)) if scores else 0.0,
        max_box_difference=max(boxes, default=0.0),
        mean_box_difference=float(np.mean(boxes)) if boxes else 0.0,
    )


def _is_tie(overlaps: npt.NDArray[np.float32], found: Detections, score: float, limit: int) -> bool:
    """Whether a box that was not found was left out for one that rounding alone put before it."""
    alike = np.abs(found.scores - score) <= TIE_SCORE_DIFFERENCE
    if (alike & (overlaps >= SAME_TOOTH_IOU)).any():
        return True
    # Both models return as many boxes as they may; the last ones of equal score are cut off in any order.
    return len(found) >= limit and abs(score - found.scores.min(initial=1.0)) <= TIE_SCORE_DIFFERENCE
