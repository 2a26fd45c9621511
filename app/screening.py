"""The rules that turn what a detector saw into an answer. Pure functions: no model, no file, no network."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from app.detections import Detections, FloatArray

DEFAULT_MAX_BOXES = 5
"""Boxes shown unless the caller asks otherwise."""

TOOTH_SCORE = 0.4
"""A box of any class counts as a tooth from this score on."""

SAME_TOOTH_IOU = 0.5
"""Boxes of any class that overlap at least this much are one tooth."""

MIN_TEETH_TO_SUSPECT = 2
MIN_TEETH_TO_CLEAR = 3
"""Teeth that must be seen before something is said. A picture of something else yields a stray box or two, so it takes
more to say that nothing was found than to point at a tooth, which the reader can see for himself."""

# Bounds of a usable photo: every real photo of the training data lies well inside, most of their blurred and darkened
# copies outside (benchmarks/photo_quality.py). A picture without colour has no tissue.
MIN_SHORTER_SIDE = 64
MIN_LUMINANCE = 40.0
MAX_LUMINANCE = 230.0
MIN_SHARPNESS = 0.06
MIN_TISSUE = 0.1

TISSUE_REDNESS = 10
"""Gum, lip, tongue and skin: red is above green and above blue by more than this, of 255."""


class Verdict(StrEnum):
    """What the photo shows, as far as the detector can say. Never a diagnosis."""

    CARIES_SUSPECTED = "caries_suspected"
    NO_CARIES_FOUND = "no_caries_found"
    NOT_ASSESSABLE = "not_assessable"


class Reason(StrEnum):
    """Why a photo is not assessable."""

    NO_TEETH_SEEN = "no_teeth_seen"
    TOO_FEW_TEETH = "too_few_teeth"
    NO_TISSUE_SEEN = "no_tissue_seen"
    TOO_SMALL = "too_small"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    BLURRED = "blurred"


class ClassSelection(StrEnum):
    """Which classes an answer lists."""

    CARIES = "caries"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class PhotoQuality:
    """What decides whether a photo can be judged at all.

    Attributes:
        shorter_side: pixels.
        luminance: mean, 0 to 255 (ITU-R BT.601 weights).
        sharpness: standard deviation of the Laplacian over that of the luminance, at about 240 pixels on the shorter
            side, so that it depends neither on exposure nor on resolution.
        tissue: share of pixels that have the colour of gum, lip, tongue or skin, 0 to 1.
    """

    shorter_side: int
    luminance: float
    sharpness: float
    tissue: float

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Everything that keeps the photo from being judged; empty for a usable one."""
        checks = (
            (Reason.TOO_SMALL, self.shorter_side < MIN_SHORTER_SIDE),
            (Reason.TOO_DARK, self.luminance < MIN_LUMINANCE),
            (Reason.TOO_BRIGHT, self.luminance > MAX_LUMINANCE),
            (Reason.BLURRED, self.sharpness < MIN_SHARPNESS),
            (Reason.NO_TISSUE_SEEN, self.tissue < MIN_TISSUE),
        )
        return tuple(reason for reason, applies in checks if applies)


@dataclass(frozen=True, slots=True)
class Screening:
    """The answer for one photo.

    Attributes:
        verdict: see `screen`.
        reasons: why the photo is not assessable; empty for the other verdicts.
        teeth_seen: teeth of any class, each counted once.
        shown: the detections to show, highest score first.
        hidden_by_max_boxes: how many more would have been shown without the box limit.
    """

    verdict: Verdict
    reasons: tuple[Reason, ...]
    teeth_seen: int
    shown: Detections
    hidden_by_max_boxes: int


def screen(
    detections: Detections,
    quality: PhotoQuality,
    *,
    screened_class_id: int,
    score_threshold: float,
    max_boxes: int = DEFAULT_MAX_BOXES,
    classes: ClassSelection = ClassSelection.CARIES,
) -> Screening:
    """Keeps the wanted classes, applies the score threshold and the box limit, and reaches a verdict.

    The verdict is about all detections of the screened class, whatever is shown: `not_assessable` for an unusable photo
    or one with too few teeth, else `caries_suspected` if a detection of the screened class reaches the threshold, else
    `no_caries_found`. A suspect that reaches the threshold counts as a tooth even below `TOOTH_SCORE`.

    Args:
        detections: everything the detector saw.
        quality: of the same photo.
        screened_class_id: the class that the verdict is about.
        score_threshold: 0 to 1, for every class shown.
        max_boxes: at least 1.
        classes: list the screened class only, or every class.
    """
    reaches = detections.scores >= score_threshold
    suspect = reaches & (detections.class_ids == screened_class_id)
    candidates = detections.where(reaches if classes is ClassSelection.ALL else suspect)
    teeth_seen = count_teeth(detections.where((detections.scores >= TOOTH_SCORE) | suspect))
    reasons = quality.reasons
    if teeth_seen < (MIN_TEETH_TO_SUSPECT if suspect.any() else MIN_TEETH_TO_CLEAR):
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


def count_teeth(detections: Detections) -> int:
    """How many teeth the boxes show: boxes of any class that overlap by `SAME_TOOTH_IOU` are counted once."""
    kept: list[FloatArray] = []
    for box, _, _ in detections:
        if not kept or box_iou(box[np.newaxis], np.stack(kept)).max() < SAME_TOOTH_IOU:
            kept.append(box)
    return len(kept)


def box_iou(first: FloatArray, second: FloatArray) -> FloatArray:
    """Intersection over union of every pair: `[n, 4]` and `[m, 4]` to `[n, m]`; 0 where both boxes are empty."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    intersection = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - intersection
    iou: FloatArray = np.where(union > 0, intersection / np.where(union > 0, union, 1), 0).astype(np.float32)
    return iou


def assess_quality(pixels: npt.NDArray[np.uint8]) -> PhotoQuality:
    """Measures a photo, uint8 `[height, width, 3]` RGB."""
    shorter_side = min(pixels.shape[:2])
    # Two or three samples a side of every block average well enough, and a large photo is measured in milliseconds.
    step = max(1, shorter_side // 240 // 2)
    pixels = pixels[::step, ::step]
    height, width = pixels.shape[:2]
    factor = max(1, min(height, width) // 240)
    cropped = pixels[: height // factor * factor, : width // factor * factor]
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    blocks = cropped.reshape(height // factor, factor, width // factor, factor, 3).mean(axis=(1, 3), dtype=np.float32)
    grey = blocks @ weights
    sharpness = 0.0
    if min(grey.shape) >= 3:
        laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
        sharpness = float(laplacian.std() / max(float(grey.std()), 1.0))
    red, green, blue = np.moveaxis(blocks, 2, 0)
    tissue = float((red - np.maximum(green, blue) > TISSUE_REDNESS).mean())
    return PhotoQuality(shorter_side, float(grey.mean()), sharpness, tissue)
