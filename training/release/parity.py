"""Compare the TFLite models with the SavedModel, detection by detection."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.detector.boxes import SAME_TOOTH_IOU, box_iou
from app.detector.detections import Detections
from training.errors import TrainingError

PER_PHOTO = 20
"""Detections of each photo that are compared, highest score first."""

SAME_BOX_IOU = 0.9
"""Lowest overlap of the same detection in two models, in the same class."""

TIE_SCORE_DIFFERENCE = 1e-5
"""Boxes on one tooth whose scores differ by less are a tie, of which suppression may keep either. Rounding in another
order moves scores by about 1e-6; a detector of few steps gives all its boxes scores within 1e-3."""

MAX_SCORE_DIFFERENCE = 0.001
MAX_BOX_DIFFERENCE = 0.001
"""Bounds of float32, well above rounding in another order. Boxes as fractions of the photo."""


class ParityError(TrainingError):
    """The float32 TFLite model differs from the SavedModel by more than rounding."""


@dataclass(frozen=True, slots=True)
class Parity:
    """Differences of a model from the reference, over the reference's `PER_PHOTO` best detections of each photo.

    `ties` are replaced by another box of the same place and score, or cut off at the limit of boxes at the same score.
    A box difference is the largest of its coordinates, as a fraction of the photo.
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
        """Whether the differences are within rounding."""
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
    """Differences over the same photos."""
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
    """Whether a missing box lost to another by rounding alone."""
    alike = np.abs(found.scores - score) <= TIE_SCORE_DIFFERENCE
    if (alike & (overlaps >= SAME_TOOTH_IOU)).any():
        return True
    # At the limit of boxes, the last ones of equal score are cut off in any order.
    return len(found) >= limit and abs(score - found.scores.min(initial=1.0)) <= TIE_SCORE_DIFFERENCE
