"""Measures whether a photo can be assessed at all. Pure functions over pixels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # it loads Pillow, which a command line does without
    from app.photo.pixels import Pixels

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
"""Gum, lip, tongue and skin: red exceeds green and blue by more than this, of 255."""


class Reason(StrEnum):
    """Why a photo is not assessable. Those about teeth are for the detector to see, the others for `PhotoQuality`."""

    NO_TEETH_SEEN = "no_teeth_seen"
    TOO_FEW_TEETH = "too_few_teeth"
    NO_TISSUE_SEEN = "no_tissue_seen"
    TOO_SMALL = "too_small"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    BLURRED = "blurred"


@dataclass(frozen=True, slots=True)
class PhotoQuality:
    """The measures of a photo.

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
        """Why the photo cannot be assessed; empty for a usable one."""
        checks = (
            (Reason.TOO_SMALL, self.shorter_side < MIN_SHORTER_SIDE),
            (Reason.TOO_DARK, self.luminance < MIN_LUMINANCE),
            (Reason.TOO_BRIGHT, self.luminance > MAX_LUMINANCE),
            (Reason.BLURRED, self.sharpness < MIN_SHARPNESS),
            (Reason.NO_TISSUE_SEEN, self.tissue < MIN_TISSUE),
        )
        return tuple(reason for reason, applies in checks if applies)


def screened_side(input_height: int, input_width: int) -> int:
    """Pixels on the shorter side above which more are of no use: twice the model's input, two for each of 240 blocks.

    The smaller model input does not change what the detector finds (`benchmarks/scaled_decode.py`).
    """
    return max(2 * BLOCKS, 2 * input_height, 2 * input_width)


def assess_quality(pixels: Pixels, *, shorter_side: int | None = None) -> PhotoQuality:
    """Measure a photo, uint8 `[height, width, 3]` RGB.

    Args:
        pixels: the photo, in full or scaled by a whole number.
        shorter_side: of the full photo, pixels; needed for a scaled one.
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


def _block_means(pixels: Pixels, scale: int) -> npt.NDArray[np.float32]:
    """Red, green and blue, float32 `[3, rows, columns]`, averaged in blocks: at least `BLOCKS` on the shorter side.

    Of a large photo two or three samples a side of every block are taken, which average well enough. A scaled one is
    sampled in the same places as the full one, so that both are assessed alike.
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

    # Sums of entire rows, then of each colour's columns, take a tenth of the time of a mean over two axes.
    rows = reduce(np.add, (pixels[places].astype(np.uint16) for places in samples(height)))
    columns = samples(width)
    colours = [reduce(np.add, (rows[:, places, colour] for places in columns)) for colour in range(3)]
    means: npt.NDArray[np.float32] = np.stack(colours).astype(np.float32) / np.float32(factor * factor)
    return means
