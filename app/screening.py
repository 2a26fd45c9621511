"""The rules that turn what a detector saw into an answer. Pure functions: no model, no file, no network."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import reduce

import numpy as np
import numpy.typing as npt

from app.detector.boxes import SAME_TOOTH_IOU, box_iou, count_teeth
from app.detector.detections import Detections, FloatArray

DEFAULT_MAX_BOXES = 5
"""Boxes shown unless the caller asks otherwise."""

MAX_BOXES_LIMIT = 100
"""Callers may ask for 1 to this many boxes."""

TOOTH_SCORE = 0.4
"""A box of any class counts as a tooth from this score on."""

CLEAR_TOOTH_SCORE = 0.6
"""The same where nothing is suspect: what a detector takes for teeth in pictures of other things mostly scores less.
The value is by photos of mouths: of these, judged by detectors that never saw them, two in a hundred at most may be
lost by it (docs/quality.md, "Verdicts")."""

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

BLOCKS = 240
"""Blocks on the shorter side in which sharpness and colours are measured."""

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
    seen: Detections | None = None,
) -> Screening:
    """Keeps the wanted classes, applies the score threshold and the box limit, and reaches a verdict.

    The verdict is about all detections of the screened class, whatever is shown: `not_assessable` for an unusable photo
    or one with too few teeth, else `caries_suspected` if a detection of the screened class reaches the threshold, else
    `no_caries_found`. A suspect that reaches the threshold counts as a tooth even below `TOOTH_SCORE`. A tooth that is
    suspect is not listed as another class as well.

    Args:
        detections: everything the detector saw, its scores calibrated where the bundle says how.
        quality: of the same photo.
        screened_class_id: the class that the verdict is about.
        score_threshold: 0 to 1, for every class shown.
        max_boxes: at least 1.
        classes: list the screened class only, or every class.
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
    if suspect.any():
        is_enough = teeth_seen >= MIN_TEETH_TO_SUSPECT
    else:
        is_enough = count_teeth(seen.where(seen.scores >= CLEAR_TOOTH_SCORE)) >= MIN_TEETH_TO_CLEAR
    if not is_enough:
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


def screened_side(input_height: int, input_width: int) -> int:
    """Pixels on the shorter side from which on more are of no use: twice the model's input, two for each of 240 blocks.

    That less reaches the model than of the whole photo does not change what it finds (`benchmarks/scaled_decode.py`).
    """
    return max(2 * BLOCKS, 2 * input_height, 2 * input_width)


def assess_quality(pixels: npt.NDArray[np.uint8], *, shorter_side: int | None = None) -> PhotoQuality:
    """Measures a photo, uint8 `[height, width, 3]` RGB.

    Args:
        pixels: the photo, whole or scaled by a whole number.
        shorter_side: of the whole photo, pixels; needed for a scaled one.
    """
    here = min(pixels.shape[:2])
    shorter_side = shorter_side or here
    red, green, blue = _block_means(pixels, round(shorter_side / here))
    grey = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    sharpness = 0.0
    if min(grey.shape) >= 3:
        laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
        sharpness = float(laplacian.std() / max(float(grey.std()), 1.0))
    tissue = float((red - np.maximum(green, blue) > TISSUE_REDNESS).mean())
    return PhotoQuality(shorter_side, float(grey.mean()), sharpness, tissue)


def _block_means(pixels: npt.NDArray[np.uint8], scale: int) -> FloatArray:
    """Red, green and blue, float32 `[3, rows, columns]`, averaged in blocks: `BLOCKS` on the shorter side, or some
    more.

    Of a large photo two or three samples a side of every block are taken, which average well enough. A scaled one is
    sampled in the places where the whole one would be, so that both are judged alike.
    """
    height, width = (side * scale for side in pixels.shape[:2])
    step = max(1, min(height, width) // BLOCKS // 2)
    factor = max(1, -(-min(height, width) // step) // BLOCKS)

    def samples(side: int) -> list[slice] | list[npt.NDArray[np.intp]]:
        """Positions of the first sample of every block, of the second, and so on."""
        end = -(-side // step) // factor * factor * step
        places = [slice(first, end, factor * step) for first in range(0, factor * step, step)]
        # Slices take half the time of positions one by one.
        return places if scale == 1 else [np.arange(end)[every] // scale for every in places]

    # Sums of whole rows, then of each colour's columns, take a tenth of the time of a mean over two axes.
    rows = reduce(np.add, (pixels[places].astype(np.uint16) for places in samples(height)))
    columns = samples(width)
    colours = [reduce(np.add, (rows[:, places, colour] for places in columns)) for colour in range(3)]
    means: FloatArray = np.stack(colours).astype(np.float32) / np.float32(factor * factor)
    return means
