"""Quality measures of real photos and of degraded copies: the basis of the bounds in `app.photo.quality`.

    python -m benchmarks.photo_quality --data DIR

`--data` is a folder in the layout of the training data.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from app.photo.decoding import decode
from app.photo.pixels import Pixels
from app.photo.quality import assess_quality
from training.data.annotations import read_annotated_photos


def blurred(pixels: Pixels) -> Pixels:
    """A Gaussian blur of 1 % of the longer side."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(max(pixels.shape[:2]) / 100)))


COPIES: dict[str, Callable[[Pixels], Pixels]] = {
    "original": lambda pixels: pixels,
    "blurred": blurred,
    "a fifth of the light": lambda pixels: (pixels * 0.2).astype(np.uint8),
    "without colour": lambda pixels: np.repeat(pixels.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2),
}


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    photos = read_annotated_photos(parser.parse_args().data)
    print("| copy | not assessable | shorter side | luminance | sharpness | tissue |\n|---|---|---|---|---|---|")
    for name, degrade in COPIES.items():
        qualities = [assess_quality(degrade(decode(photo.path.read_bytes()).pixels)) for photo in photos]
        cells = [f"{sum(bool(quality.reasons) for quality in qualities)} of {len(qualities)}"]
        for values in zip(*((q.shorter_side, q.luminance, q.sharpness, q.tissue) for q in qualities), strict=True):
            low, middle, high = np.percentile(values, (0, 50, 100))
            cells.append(f"{low:.3g} / {middle:.3g} / {high:.3g}")
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\nLowest / median / highest.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
