"""JPEG: scaled decoding gives what Pillow gives; headers and scans are bounded."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import time
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from app.errors import PhotoError, PhotoTooLarge, UnreadablePhoto
from app.photo import jpeg
from app.photo.decoding import decode
from app.photo.limits import Limits
from app.photo.resizing import resize
from tests.app.photo.pictures import (
    BLUE,
    GREEN,
    GREY,
    KINDS,
    LOSSY,
    ORIENTATION,
    PICTURE,
    RED,
    TO_STORED,
    assert_four_colours,
    camera_photo,
    corners,
    display_p3,
    saved,
)

JPEG_KINDS: dict[str, dict[str, Any]] = {
    "4:2:0": {"subsampling": "4:2:0"},
    "4:2:2": {"subsampling": "4:2:2"},
    "4:4:4": {"subsampling": "4:4:4"},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_rows": 1},
    "RGB inside": {"keep_rgb": True},
}


@pytest.mark.parametrize("options", JPEG_KINDS.values(), ids=JPEG_KINDS.keys())
@pytest.mark.parametrize(
    ("shorter_side", "scale"), [(None, 1), (525, 1), (263, 1), (262, 2), (132, 2), (131, 4), (40, 8)]
)
def test_a_large_jpeg_is_decoded_at_the_smallest_sufficient_scale(
    options: dict[str, Any], shorter_side: int | None, scale: int
) -> None:
    """Its samples are those of Pillow, which uses the same library."""
    data = saved(camera_photo(), "JPEG", quality=90, **options)
    photo = decode(data, shorter_side=shorter_side)
    assert (photo.width, photo.height) == (700, 525)
    assert photo.pixels.shape == (-(-525 // scale), -(-700 // scale), 3)
    assert photo.is_full_size == (scale == 1)
    with Image.open(io.BytesIO(data)) as image:
        image.draft(None, (700 // scale, 525 // scale))
        assert (photo.pixels == np.asarray(image)).all()
    assert photo.sha256 == hashlib.sha256(data).hexdigest()
    assert not photo.pixels.flags.writeable


@pytest.mark.parametrize("orientation", TO_STORED)
def test_a_scaled_jpeg_is_upright(orientation: int) -> None:
    turn = TO_STORED[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = camera_photo() if turn is None else camera_photo().transpose(turn)
    photo = decode(saved(image, "JPEG", exif=exif.tobytes(), **LOSSY), shorter_side=100)
    assert (photo.width, photo.height) == (700, 525)
    assert photo.pixels.shape == (132, 175, 3)
    assert_four_colours(photo.pixels, tolerance=25)
    assert not photo.is_full_size


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_scaled_jpeg_of_another_colour_space(mode: str) -> None:
    data = saved(camera_photo().convert(mode), "JPEG", **LOSSY)
    photo = decode(data, shorter_side=100)
    assert (photo.width, photo.height) == (700, 525)
    assert photo.pixels.shape == (132, 175, 3)
    whole = resize(decode(data).pixels, 132, 175).astype(int)
    assert np.abs(photo.pixels - whole).mean() < 3


def test_the_profile_of_a_scaled_jpeg_is_applied() -> None:
    data = saved(camera_photo(), "JPEG", icc_profile=display_p3(), **LOSSY)
    scaled, whole = (decode(data, shorter_side=side).pixels for side in (100, None))
    assert np.abs(corners(scaled) - corners(resize(whole, *scaled.shape[:2]))).max() <= 12
    assert np.abs(corners(scaled) - [RED, GREEN, GREY, BLUE]).max() > 20, "the profile was ignored"


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("shorter_side", [None, 100])
def test_damaged_jpegs_are_refused_at_every_scale(progressive: bool, shorter_side: int | None) -> None:
    data = saved(camera_photo(), "JPEG", progressive=progressive, **LOSSY)
    for share in (0.3, 0.7, 0.99):
        with pytest.raises(UnreadablePhoto):
            decode(data[: int(len(data) * share)], shorter_side=shorter_side)


@pytest.mark.parametrize("shorter_side", [None, 100])
def test_damage_that_libjpeg_repairs_is_decoded_at_every_scale(shorter_side: int | None) -> None:
    """Bytes behind the picture, and damage to some of its blocks, give the same pixels as Pillow."""
    data = saved(camera_photo(), "JPEG", **LOSSY)
    plain = decode(data, shorter_side=shorter_side).pixels
    assert (decode(data + b"trailer", shorter_side=shorter_side).pixels == plain).all()
    damaged = bytearray(data)
    middle = len(data) // 2
    damaged[middle : middle + 4] = b"\x12\x34\x56\x78"
    with pytest.raises(ValueError, match="JPEG"):
        simplejpeg.decode_jpeg(bytes(damaged))
    with Image.open(io.BytesIO(bytes(damaged))) as image:
        image.draft(None, (175, 131) if shorter_side else image.size)
        assert (decode(bytes(damaged), shorter_side=shorter_side).pixels == np.asarray(image)).all()


@pytest.mark.slow
@pytest.mark.parametrize("progressive", [False, True])
def test_a_damaged_jpeg_has_the_same_outcome_at_every_scale(progressive: bool) -> None:
    data = saved(camera_photo(220, 170), "JPEG", progressive=progressive, **LOSSY)
    chance = random.Random(4)
    fates = set()
    for _ in range(150):
        spoilt = bytearray(data)
        for _ in range(chance.randrange(1, 4)):
            spoilt[min(chance.randrange(len(data)) for _ in range(2))] = chance.randrange(256)
        found = []
        for shorter_side in (None, 40):
            try:
                photo = decode(bytes(spoilt), Limits(max_pixels=100_000), shorter_side=shorter_side)
            except PhotoError as error:
                found.append(str(error))
            else:
                found.append(f"decoded {photo.width}x{photo.height}")
        assert found[0] == found[1]
        fates.add(found[0])
    assert len(fates) > 1


def test_limits_apply_to_the_full_size_of_a_scaled_photo() -> None:
    data = saved(camera_photo(), "JPEG", **LOSSY)
    with pytest.raises(PhotoTooLarge, match="700x525"):
        decode(data, Limits(max_pixels=700 * 525 - 1), shorter_side=100)


def test_a_decoder_that_reads_another_size_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits were checked on the size that Pillow read."""
    data = saved(PICTURE, "JPEG", **LOSSY)
    monkeypatch.setattr(simplejpeg, "decode_jpeg_header", lambda *_, **__: (40000, 40000, "YCbCr", "420"))
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *_, **__: pytest.fail("decoded nevertheless"))
    assert_four_colours(decode(data).pixels, tolerance=8)


START_OF_SCAN = b"\xff\xda"


def with_scans(data: bytes, count: int) -> bytes:
    """The progressive JPEG with its last scan repeated, without its samples, up to `count` scans."""
    last = data.rindex(START_OF_SCAN)
    return data[:-2] + data[last : last + 10] * (count - data.count(START_OF_SCAN)) + data[-2:]


@pytest.mark.parametrize("shorter_side", [None, 10])
def test_too_many_scans(shorter_side: int | None) -> None:
    """libjpeg repairs each of the scans, which takes minutes for a large picture."""
    data = KINDS["jpeg progressive"]
    most = with_scans(data, jpeg.MAX_SCANS)
    assert_four_colours(decode(most, shorter_side=shorter_side).pixels, tolerance=8)
    for more in (with_scans(data, jpeg.MAX_SCANS + 1), with_scans(data, 100_000)):
        for hidden in (more, more.replace(START_OF_SCAN, b"\xff" + START_OF_SCAN)):
            with pytest.raises(PhotoTooLarge, match="more than 32 scans"):
                decode(hidden, shorter_side=shorter_side)


def test_scans_far_apart_are_counted() -> None:
    data = KINDS["jpeg progressive"]
    scans = with_scans(data, 40)[len(data) - 2 : -2]
    with pytest.raises(PhotoTooLarge, match="scans"):
        decode(data[:-2] + b"\xff\xfe\0\2" * jpeg.MAX_SEGMENTS + scans + data[-2:])


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_scans_outside_the_picture_are_not_counted(mode: str) -> None:
    """Those of a thumbnail, other segments and pictures behind the first; and restarts are no scans."""
    whole = saved(camera_photo().convert(mode), "JPEG", progressive=True, restart_marker_blocks=1)
    assert whole.count(START_OF_SCAN) >= 5
    others = START_OF_SCAN * 20_000
    segment = b"\xff\xe5" + struct.pack(">H", 2 + len(others)) + others
    pixels = decode(whole[:2] + segment * 3 + whole[2:] + others).pixels
    assert (pixels == decode(whole).pixels).all()


def test_the_search_for_markers_is_bounded() -> None:
    jpeg, began = KINDS["jpeg"], time.process_time()
    with pytest.raises(PhotoTooLarge, match="more than 32 scans"):
        decode(jpeg[:-2] + b"\xff\x02" * 8_000_000 + START_OF_SCAN * 40 + jpeg[-2:])
    assert time.process_time() - began < 1


def test_headers_of_very_many_parts() -> None:
    """Pillow takes microseconds for each, without releasing the interpreter."""
    jpeg = KINDS["jpeg"]
    for part in (b"\xff\xfe\0\2", b"\xff\xe1\0\2", b"\xff", b"\xff\0", b"\xff\xd9", b"\xff\xf0", b"\xff\xfe\0\2\0"):
        with pytest.raises(PhotoTooLarge, match="more than 65536 parts"):
            decode(jpeg[:2] + part * 70_000 + jpeg[2:])
