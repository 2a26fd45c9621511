"""The resize of every model input."""

import numpy as np
from cykooz_resizer import FilterType, ImageData, PixelType, ResizeAlg, ResizeOptions, Resizer
from PIL import Image

from app.photo.pixels import STRIP, Pixels


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """`pixels` squeezed to uint8 `[height, width, 3]`; the aspect ratio is not kept.

    Antialiased bilinear, within a rounding step of Pillow's. Large photos are first shrunk by whole-number boxes, to at
    least three times the target size, which costs a fraction of the time and differs by rounding as well.
    """
    boxes = max(1, pixels.shape[1] // (3 * width)), max(1, pixels.shape[0] // (3 * height))
    if boxes != (1, 1):
        strip = boxes[1] * max(1, STRIP // (boxes[1] * pixels.shape[1]))
        strips = (pixels[top : top + strip] for top in range(0, len(pixels), strip))
        pixels = np.concatenate([np.asarray(Image.fromarray(rows).reduce(boxes)) for rows in strips])
    source = ImageData(pixels.shape[1], pixels.shape[0], PixelType.U8x3, pixels.tobytes())
    target = ImageData(width, height, PixelType.U8x3)
    Resizer().resize(source, target, ResizeOptions(ResizeAlg.convolution(FilterType.bilinear)))
    return np.frombuffer(target.get_buffer(), np.uint8).reshape(height, width, 3)
