"""Pixels to a picture file without metadata."""

import io

from PIL import Image

from app.photo.formats import MediaType
from app.photo.pixels import Pixels
from app.photo.png import encode_png

JPEG_QUALITY = 90
WEBP_QUALITY = 90

WEBP_METHOD = 2
"""The strongest that does not buffer its output for the entire picture: up to 17 bytes a pixel more."""


def encode(pixels: Pixels, media_type: MediaType, *, threads: int = 1) -> bytes:
    """A picture file. Several threads compress a PNG; the other formats use one.

    Raises:
        ValueError: `media_type` is not PNG, JPEG or WebP.
    """
    out = io.BytesIO()
    match media_type:
        case "image/png":
            return encode_png(pixels, threads=threads)
        case "image/jpeg":
            Image.fromarray(pixels).save(out, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0")
        case "image/webp":
            Image.fromarray(pixels).save(out, "WEBP", quality=WEBP_QUALITY, method=WEBP_METHOD)
        case _:
            raise ValueError(f"media type {media_type!r} cannot be written; image/png, image/jpeg and image/webp can")
    return out.getvalue()
