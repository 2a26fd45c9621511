"""A photo as an upright picture file at full size, without its metadata: what may be kept of it."""

import re
from dataclasses import dataclass

import numpy as np

from app.errors import PhotoError
from app.photo.decoding import Photo, decode
from app.photo.encoding import encode
from app.photo.formats import MediaType
from app.photo.limits import DEFAULT_LIMITS, Limits

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_APP0, _APP14, _SOS = 0xE0, 0xEE, 0xDA

_DECODED = frozenset({*range(0xC0, 0xD0), *range(0xDA, 0xE0)})
"""Codes of the segments that a decoder needs: frames, tables, scans (ITU-T T.81, table B.1)."""

_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a length."""

_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""The end of the data of a scan, which contains stuffed zeros and restarts only."""


@dataclass(frozen=True, slots=True)
class PictureFile:
    """An upright sRGB picture without metadata; `width` and `height` in pixels."""

    data: bytes
    media_type: MediaType
    width: int
    height: int


def without_metadata(data: bytes, limits: Limits = DEFAULT_LIMITS) -> PictureFile:
    """The photo's own JPEG without its metadata if that shows the same pixels, else a PNG of its pixels.

    A JPEG that its EXIF orientation turns, or that has a colour profile other than sRGB, shows other pixels without
    them. Both forms are without loss.

    Raises:
        PhotoError: as `app.photo.decoding.decode`.
    """
    photo = decode(data, limits)
    bare = _bare_jpeg(data) if data.startswith(_SOI) else None
    if bare is not None and _shows(bare, photo, limits):
        return PictureFile(bare, "image/jpeg", photo.width, photo.height)
    return PictureFile(encode(photo.pixels, "image/png"), "image/png", photo.width, photo.height)


def _shows(data: bytes, photo: Photo, limits: Limits) -> bool:
    try:
        return np.array_equal(decode(data, limits).pixels, photo.pixels)
    except PhotoError:
        return False


def _bare_jpeg(data: bytes) -> bytes | None:
    """The JPEG with the segments of `_DECODED` and what the colours depend on; None if it is not cleanly built.

    Of JFIF and Adobe segments the fixed part stays, without thumbnails. Bytes behind the end, such as depth maps and
    films, are dropped.
    """
    parts, at = [_SOI], 2
    while at + 2 <= len(data) and data[at] == 0xFF:
        code = data[at + 1]
        if code == 0xFF:  # a fill byte
            at += 1
            continue
        if code == _EOI[1]:
            return b"".join([*parts, _EOI])
        if code in _BARE:
            at += 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : end]
        if end < at + 4 or end > len(data):
            return None
        if code == _APP0 and body.startswith(b"JFIF\0") and len(body) >= 14:
            parts.append(b"\xff\xe0\x00\x10" + body[:12] + b"\0\0")
        elif code == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            parts.append(b"\xff\xee\x00\x0e" + body[:12])
        elif code in _DECODED:
            parts.append(data[at:end])
        at = end
        if code == _SOS:
            marker = _NEXT_MARKER.search(data, at)
            if marker is None:
                return None
            parts.append(data[at : marker.start()])
            at = marker.start()
    return None
