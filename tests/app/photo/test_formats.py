"""Formats that are refused, and the names of those accepted."""

from __future__ import annotations

import io

import pytest

from app.errors import UnsupportedPhoto
from app.photo.decoding import decode
from app.photo.formats import PhotoFormat
from app.photo.limits import Limits
from tests.app.photo.pictures import KINDS, PICTURE


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP", "PDF", "EPS", "JPEG2000", "AVIF", "PPM", "ICO"])
def test_other_formats_are_refused_with_the_accepted_ones(kind: str) -> None:
    out = io.BytesIO()
    PICTURE.save(out, kind)
    with pytest.raises(UnsupportedPhoto, match="JPEG, PNG, WebP, HEIC or DICOM"):
        decode(out.getvalue())


@pytest.mark.parametrize(
    "data", [b"hello", b"\0" * 500, b"<svg/>", bytes(128) + b"DICM", b"\0\0\0\x18ftypisom\0\0\0\0"]
)
def test_unknown_bytes_are_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedPhoto):
        decode(data)


@pytest.mark.parametrize("name", ["jpeg", "png", "webp lossy", "heic", "dicom"])
def test_only_accepted_formats_are_read(name: str) -> None:
    chosen = PhotoFormat(name.split()[0])
    assert decode(KINDS[name], Limits(formats=(chosen,))).width == 64
    others = tuple(format for format in PhotoFormat if format is not chosen)
    with pytest.raises(UnsupportedPhoto, match=r"files are not accepted; send \w+, \w+, \w+ or \w+$"):
        decode(KINDS[name], Limits(formats=others))
