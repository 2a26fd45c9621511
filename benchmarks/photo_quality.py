"""Where real photos lie on the scales that decide whether a photo can be judged, and where spoilt copies of them lie.

    python benchmarks/photo_quality.py --data DIR

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
    "as it is": lambda pixels: pixels,
    "blurred": blurred,
    "a fifth of the light": lambda pixels: (pixels * 0.2).astype(np.uint8),
    "without colour": lambda pixels: np.repeat(pixels.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    photos = read_annotated_photos(parser.parse_args().data)
    print("| copy | not assessable | shorter side | luminance | sharpness | tissue |\n|---|---|---|---|---|---|")
    for name, spoil in COPIES.items():
        qualities = [assess_quality(spoil(decode(photo.path.read_bytes()).pixels)) for photo in photos]
        cells = [f"{sum(bool(quality.reasons) for quality in qualities)} of {len(qualities)}"]
        for scale in ("shorter_side", "luminance", "sharpness", "tissue"):
            low, middle, high = np.percentile([getattr(quality, scale) for quality in qualities], (0, 50, 100))
            cells.append(f"{low:.3g} / {middle:.3g} / {high:.3g}")
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\nScales: lowest / median / highest.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
