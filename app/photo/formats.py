"""The picture formats: those that are read, those that are written, and how a file is recognized."""

from enum import StrEnum
from typing import Literal

MediaType = Literal["image/png", "image/jpeg", "image/webp"]
"""The formats that are written."""

MEDIA_TYPES: dict[str, MediaType] = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
"""By the names that callers give them."""

PICTURE_SUFFIXES: dict[str, str] = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".dcm"})
"""File names of photos in folders."""


class PhotoFormat(StrEnum):
    """A format that is read."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    HEIC = "heic"
    DICOM = "dicom"

    @property
    def label(self) -> str:
        """Its name in sentences."""
        return "WebP" if self is PhotoFormat.WEBP else self.value.upper()


# ISO 23008-12, annex B: HEVC pictures and collections, and the general brands of pictures.
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")

SIGNATURES = (
    (b"\xff\xd8\xff", PhotoFormat.JPEG.label),
    (b"\x89PNG\r\n\x1a\n", PhotoFormat.PNG.label),
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"BM", "BMP"),
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "ZIP"),
    (b"%!PS", "PostScript"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
)


def format_name(data: bytes) -> str:
    """The name of the format by the first bytes, that of a `PhotoFormat` or another one; empty if it is unknown."""
    if data[8:12] == b"WEBP" and data[:4] == b"RIFF":
        return PhotoFormat.WEBP.label
    if data[4:8] == b"ftyp":
        if b"avif" in data[8:64]:
            return "AVIF"
        return PhotoFormat.HEIC.label if data[8:12] in HEIC_BRANDS else "Video or other ISO media"
    if data[128:132] == b"DICM":
        return PhotoFormat.DICOM.label
    return next((name for signature, name in SIGNATURES if data.startswith(signature)), "")
