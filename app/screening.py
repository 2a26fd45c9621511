"""The rules from detections to an answer. Pure functions: no model, no file, no network."""

from dataclasses import dataclass
from enum import StrEnum

from app.detector.boxes import SAME_TOOTH_IOU, box_iou, count_teeth
from app.detector.detections import Detections
from app.photo.quality import PhotoQuality, Reason

DEFAULT_MAX_BOXES = 5
"""Boxes shown unless the caller asks otherwise."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The numbers from `low` to `high`, both included."""

    low: int
    high: int

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"


MAX_BOXES_BOUNDS = Bounds(1, 100)
"""Boxes that callers may ask for."""

THRESHOLD_BOUNDS = Bounds(0, 1)
"""Of a score threshold."""

TOOTH_SCORE = 0.4
"""Lowest score at which a box of any class counts as a tooth."""

CLEAR_TOOTH_SCORE = 0.64
"""The same if nothing is suspect: what a detector mistakes for teeth in other pictures mostly scores less. Of photos of
mouths that the detector was not trained on, at most three in a hundred are lost by it (docs/quality.md, "Verdicts")."""

MIN_TEETH_TO_CLEAR = 2
"""Teeth that it takes to say that nothing was found. One is enough to point at, as in a close-up, since the reader can
check it."""


class Verdict(StrEnum):
    """What the detector found. Never a diagnosis."""

    CARIES_SUSPECTED = "caries_suspected"
    NO_CARIES_FOUND = "no_caries_found"
    NOT_ASSESSABLE = "not_assessable"


class ClassSelection(StrEnum):
    """Which classes an answer lists."""

    CARIES = "caries"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Screening:
    """The answer for one photo.

    Attributes:
        reasons: why the photo is not assessable; empty for the other verdicts.
        teeth_seen: teeth of any class, each counted once.
        shown: the detections to show, highest score first.
        hidden_by_max_boxes: how many more reach the threshold.
    """

    verdict: Verdict
    reasons: tuple[Reason, ...]
    teeth_seen: int
    shown: Detections
    hidden_by_max_boxes: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What `screen` decides by besides the caller's options.

    Attributes:
        screened_class_id: the class that the verdict is about.
        reasons: why the photo cannot be assessed, before teeth are counted.
        detections: of all classes and scores, calibrated.
        seen: the detections before calibration that count as teeth.
    """

    screened_class_id: int
    reasons: tuple[Reason, ...]
    detections: Detections
    seen: Detections


def screen(
    detections: Detections,
    quality: PhotoQuality,
    *,
    screened_class_id: int,
    score_threshold: float,
    max_boxes: int = DEFAULT_MAX_BOXES,
    classes: ClassSelection = ClassSelection.CARIES,
    seen: Detections | None = None,
) -> Screening:
    """Select the boxes to show, and reach a verdict.

    The verdict depends on all detections of the screened class, also those not shown: `not_assessable` for an unusable
    photo, else `caries_suspected` if a detection of the screened class reaches the threshold, else `not_assessable` for
    one with too few teeth, else `no_caries_found`. A suspect that reaches the threshold counts as a tooth even below
    `TOOTH_SCORE`. A suspect tooth is not also listed as another class.

    Args:
        detections: everything the detector saw, with scores calibrated if the bundle has a calibration.
        screened_class_id: the class that the verdict is about.
        score_threshold: 0 to 1, for every class shown.
        seen: the detections before calibration, by which teeth are counted; `detections` if None.
    """
    reaches = detections.scores >= score_threshold
    suspect = reaches & (detections.class_ids == screened_class_id)
    suspects = candidates = detections.where(suspect)
    if classes is ClassSelection.ALL:
        is_apart = box_iou(detections.boxes, suspects.boxes).max(axis=1, initial=0.0) < SAME_TOOTH_IOU
        candidates = detections.where(suspect | (reaches & is_apart))
    seen = detections if seen is None else seen
    teeth_seen = count_teeth(seen.where(seen.scores >= TOOTH_SCORE).joined(suspects))
    reasons = quality.reasons
    clear_teeth = count_teeth(seen.where(seen.scores >= CLEAR_TOOTH_SCORE))
    if not suspect.any() and clear_teeth < MIN_TEETH_TO_CLEAR:
        reasons += (Reason.TOO_FEW_TEETH if teeth_seen else Reason.NO_TEETH_SEEN,)
    if reasons:
        verdict = Verdict.NOT_ASSESSABLE
    elif suspect.any():
        verdict = Verdict.CARIES_SUSPECTED
    else:
        verdict = Verdict.NO_CARIES_FOUND
    return Screening(
        verdict=verdict,
        reasons=reasons,
        teeth_seen=teeth_seen,
        shown=candidates.head(max_boxes),
        hidden_by_max_boxes=max(0, len(candidates) - max_boxes),
    )
