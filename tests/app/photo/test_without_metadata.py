"""What is kept of a photo: the same pixels, upright, and nothing that says where they come from."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.errors import UnreadablePhoto
from app.photo.decoding import decode
from app.photo.without_metadata import without_metadata
from tests.app.photo.pictures import KINDS, ORIENTATION, PICTURE, TO_STORED, camera_photo, display_p3, saved

MARK = b"PATIENT-KIM"


def exif(orientation: int = 1) -> bytes:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    tags[0x010E] = MARK.decode()
    return tags.tobytes()


def marked(**options: Any) -> bytes:
    """A JPEG with the mark in EXIF, in a comment, in a thumbnail and behind its end."""
    data = saved(camera_photo(), "JPEG", quality=85, exif=exif(), comment=MARK, **options)
    if data[2:4] == b"\xff\xe0":
        data = data[:4] + (16 + len(MARK)).to_bytes(2, "big") + data[6:18] + b"\1\1" + MARK + data[20:]
    return data + b"film" + MARK


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"keep_rgb": True}, {"subsampling": "4:4:4"}]
)
def test_an_upright_jpeg_keeps_its_own_bytes_without_metadata(options: dict[str, Any]) -> None:
    data = marked(**options)
    kept = without_metadata(data)
    assert MARK in data
    assert (kept.media_type, kept.width, kept.height) == ("image/jpeg", 700, 525)
    assert MARK not in kept.data
    assert len(kept.data) > len(data) - 500
    assert (decode(kept.data).pixels == decode(data).pixels).all()
    with Image.open(io.BytesIO(kept.data)) as image:
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "progressive",
                                   "progression", "adobe", "adobe_transform"}  # fmt: skip
    assert without_metadata(kept.data) == kept


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_jpeg_is_kept_upright(orientation: int) -> None:
    turn = TO_STORED[orientation]
    assert turn is not None
    data = saved(PICTURE.transpose(turn), "JPEG", quality=95, exif=exif(orientation))
    kept = without_metadata(data)
    assert (kept.media_type, kept.width, kept.height) == ("image/png", 64, 48)
    assert (decode(kept.data).pixels == decode(data).pixels).all()
    assert MARK not in kept.data


def test_colours_of_another_profile_are_kept_without_it() -> None:
    data = saved(PICTURE, "JPEG", quality=95, icc_profile=display_p3())
    kept = without_metadata(data)
    assert kept.media_type == "image/png"
    assert (decode(kept.data).pixels == decode(data).pixels).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_is_kept(kind: str) -> None:
    kept = without_metadata(KINDS[kind])
    assert kept.media_type == ("image/jpeg" if "jpeg" in kind or kind == "mpo" else "image/png")
    assert np.array_equal(decode(kept.data).pixels, decode(KINDS[kind]).pixels)


def test_a_grey_jpeg_and_one_with_stray_bytes() -> None:
    grey = saved(PICTURE.convert("L"), "JPEG")
    assert without_metadata(grey).media_type == "image/jpeg"
    data = saved(PICTURE, "JPEG")
    assert without_metadata(data[:2] + b"\xff\xff" + data[2:]).media_type == "image/jpeg"
    assert without_metadata(data[:20] + b"stray" + data[20:]).media_type == "image/png"


def test_damaged_photos_are_refused() -> None:
    data = marked()
    for damaged in (data[: len(data) // 2], b"\xff\xd8\xff\xe0", b""):
        with pytest.raises(UnreadablePhoto):
            without_metadata(damaged)
