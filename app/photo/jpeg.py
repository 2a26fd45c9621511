"""JPEG to upright sRGB pixels, whole or scaled while it is decoded."""

import io
import re

import numpy as np
import simplejpeg
from PIL.JpegImagePlugin import MARKER, JpegImageFile

from app.errors import PhotoTooLarge
from app.photo.limits import Limits
from app.photo.pixels import Pixels, convert_to_srgb, exif_orientation, icc_profile, samples, turned

MAX_SEGMENTS = 2**16
"""Parts of the header. Pillow takes microseconds for each."""

MAX_SCANS = 32
"""Scans. The usual progressive JPEG has 10, one of four colours 18. Each is a pass over all pixels, for which 14 bytes
of the file are enough."""

START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"

_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
"""All but those that libjpeg skips (ITU-T T.81, B.1.1.3): TEM and restarts. Behind 0xff, 0 and 0xff are none."""


def read_jpeg(
    data: bytes,
    limits: Limits,
    shorter_side: int | None,
    *,
    upright: bool = True,
    rgb: bool = False,
    icc: bytes = b"",
) -> tuple[Pixels, int, int]:
    """The pixels, scaled as `app.photo.decoding.decode` says, and width and height of the full photo, all upright.

    Args:
        upright: apply the EXIF orientation.
        rgb: the components are red, green and blue unless a JFIF or Adobe segment says what they are.
        icc: a colour profile that replaces the embedded one.

    Raises:
        PhotoTooLarge: a limit is passed.
        Exception: of any kind for damaged bytes.
    """
    _check_header(data)
    _check_scans(data)
    image = JpegImageFile(io.BytesIO(data))
    width, height = image.size
    limits.check_size(width, height)
    scale = 1
    while scale < 8 and shorter_side is not None and min(width, height) >= 2 * scale * shorter_side:
        scale *= 2
    orientation = exif_orientation(image) if upright else 1
    if icc:
        image.info["icc_profile"] = icc
    pixels = None
    if rgb and image.mode == "RGB" and not {"jfif", "adobe"} & image.info.keys():
        image.draft("YCbCr", (width // scale, height // scale))  # hands the components out as they are
        pixels = np.array(image)
    elif image.mode == "RGB":
        pixels = _decode(data, -(-width // scale), -(-height // scale))
    if pixels is None:
        image.draft(None, (width // scale, height // scale))
        pixels = samples(image)
        image.close()
    else:
        convert_to_srgb(pixels, icc_profile(image))
    if orientation >= 5:
        width, height = height, width
    return turned(pixels, orientation), width, height


def _check_header(data: bytes) -> None:
    """Raises PhotoTooLarge for more parts than `MAX_SEGMENTS` as Pillow steps through them, stray bytes included."""
    at, parts = 2, 0
    while parts <= MAX_SEGMENTS:
        marker = data.find(b"\xff", at)
        code = data[marker : marker + 2]
        if marker < 0 or len(code) < 2 or code == START_OF_SCAN:
            return
        parts += 1 + marker - at
        at = marker + (1 if code == b"\xff\xff" else 2)
        _, _, has_length = MARKER.get(int.from_bytes(code, "big"), ("", "", None))
        if has_length:
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
    raise PhotoTooLarge(f"the JPEG's header has more than {MAX_SEGMENTS} parts, the most that are accepted")


def _check_scans(data: bytes) -> None:
    """Raises PhotoTooLarge for more scans than `MAX_SCANS`, as libjpeg sees them: in no segment, and before the end.

    Thumbnails are in segments; a phone's depth maps and films come behind the end.
    """
    if data.count(START_OF_SCAN) <= MAX_SCANS:
        return
    at, scans, markers = 2, 0, 0
    while (found := _MARKER.search(data, at)) and found[0] != END_OF_IMAGE:
        at = found.end()
        markers += 1
        if found[0][1] >= 0xC0:
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
            scans += found[0] == START_OF_SCAN
        if scans > MAX_SCANS or markers > MAX_SEGMENTS:
            raise PhotoTooLarge(f"the JPEG has more than {MAX_SCANS} scans, the most that are accepted")


def _decode(data: bytes, width: int, height: int) -> Pixels | None:
    """A colour JPEG at the scale that has exactly these pixels; None if it takes Pillow.

    simplejpeg stops at every warning of libjpeg. Pillow, over the same library, knows which ones are harmless.
    """
    smallest = {"min_width": width, "min_height": height}
    try:
        # Two readers of one header can be made to disagree; the limits were checked on Pillow's.
        if simplejpeg.decode_jpeg_header(data, **smallest)[:2] != (height, width):
            return None
        pixels: Pixels = simplejpeg.decode_jpeg(data, **smallest)
    except ValueError:
        return None
    return pixels
