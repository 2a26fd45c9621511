"""A tooth with its surroundings as a square of fixed size, cut from the whole photo."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


def squares(boxes: npt.NDArray[np.float32], width: int, height: int, context: float) -> Floats:
    """The squares to cut around boxes, which may reach over the photo's edges.

    Args:
        boxes: `[n, 4]`, `[ymin, xmin, ymax, xmax]` as fractions of the photo's height and width.
        width, height: of the photo, pixels.
        context: side of the square as a multiple of the box's longer side.

    Returns:
        float64 `[n, 3]`: left, top and side, pixels; the side is at least 1.
    """
    scaled = boxes.reshape(-1, 4).astype(np.float64) * [height, width, height, width]
    sides = np.maximum(1.0, context * (scaled[:, 2:] - scaled[:, :2]).max(axis=1))
    centres = (scaled[:, :2] + scaled[:, 2:]) / 2
    return np.column_stack([centres[:, 1] - sides / 2, centres[:, 0] - sides / 2, sides])


def cut(pixels: Pixels, regions: Floats, size: int) -> Pixels:
    """The squares of a photo, each resized to `size` pixels, antialiased bilinear; uint8 `[n, size, size, 3]`.

    Beyond the photo's edges its outermost pixels go on.

    Args:
        pixels: the upright photo, `[height, width, 3]`.
        regions: `[n, 3]`, see `squares`.
        size: pixels.
    """
    if not len(regions):
        return np.zeros((0, size, size, 3), np.uint8)
    left, top, sides = regions.T
    height, width, _ = pixels.shape
    beyond = max(-left.min(), -top.min(), (left + sides).max() - width, (top + sides).max() - height, 0.0)
    margin = int(np.ceil(beyond))
    padded = Image.fromarray(np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="edge"))
    return np.stack(
        [
            np.asarray(
                padded.resize(
                    (size, size),
                    Image.Resampling.BILINEAR,
                    box=(x + margin, y + margin, x + margin + side, y + margin + side),
                )
            )
            for x, y, side in regions
        ]
    )
