"""The picture formats of this service: those that it reads and those that it writes."""

from __future__ import annotations

from enum import StrEnum


class PhotoFormat(StrEnum):
    """A format that can be read."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    HEIC = "heic"
