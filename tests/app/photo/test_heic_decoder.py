"""HEIC photos: tiles, rotation, depth and metadata."""

from __future__ import annotations

import numpy as np
import pytest

from app.photo.decoding import decode
from tests.app.photo.pictures import DATA, FOUR_COLOURS, assert_four_colours, of_tiles

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


def test_tiles_are_joined() -> None:
    """The test picture shows 64x48 of its 64x64 pixels."""
    whole = decode(FOUR_COLOURS).pixels
    tiled = decode(of_tiles(3, 2)).pixels
    assert tiled.shape == (3 * 64, 2 * 64, 3)
    for top in (0, 64, 128):
        for left in (0, 64):
            np.testing.assert_array_equal(tiled[top : top + 48, left : left + 64], whole)


def with_rotation(heic: bytes, quarter_turns: int) -> bytes:
    """The HEIC with an `irot` property (ISO 23008-12, 6.5.10: quarter turns anticlockwise) on its primary picture."""

    def box(data: bytes | bytearray, name: bytes) -> tuple[int, int]:
        start = data.index(name) - 4
        return start, start + int.from_bytes(data[start : start + 4], "big")

    def grow(data: bytearray, name: bytes, by: int) -> None:
        start, end = box(data, name)
        data[start : start + 4] = (end - start + by).to_bytes(4, "big")

    out = bytearray(heic)
    primary = int.from_bytes(out[box(out, b"pitm")[0] + 12 : box(out, b"pitm")[1]], "big")
    start, end = box(out, b"ipco")
    at, properties = start + 8, 0
    while at < end:
        at, properties = at + int.from_bytes(out[at : at + 4], "big"), properties + 1
    for name in (b"meta", b"iprp", b"ipco"):
        grow(out, name, 9)
    out[end:end] = (9).to_bytes(4, "big") + b"irot" + bytes([quarter_turns])
    start, _ = box(out, b"ipma")
    at = start + 16  # header, version and flags, entry count
    while int.from_bytes(out[at : at + 2], "big") != primary:
        at += 3 + out[at + 2]
    for name in (b"meta", b"iprp", b"ipma"):
        grow(out, name, 1)
    out[at + 3 + out[at + 2] : at + 3 + out[at + 2]] = bytes([0x80 | (properties + 1)])
    out[at + 2] += 1
    start, _ = box(out, b"iloc")
    assert out[start + 8 : start + 14] == bytes([1, 0, 0, 0, 0x44, 0x40]), "iloc: version 1, 4-byte fields, no index"
    at = start + 16
    for _ in range(int.from_bytes(out[start + 14 : start + 16], "big")):
        if out[at + 3] == 0:  # placed by its offset in the file
            out[at + 6 : at + 10] = (int.from_bytes(out[at + 6 : at + 10], "big") + 10).to_bytes(4, "big")
        at += 12 + 8 * int.from_bytes(out[at + 10 : at + 12], "big")
    return bytes(out)


def test_heic_rotation_is_applied_once() -> None:
    """Phones write the container's rotation and, for other readers, the same in EXIF."""
    stored_turned = with_rotation((DATA / "four_colours_turned.heic").read_bytes(), quarter_turns=3)
    assert_four_colours(decode(stored_turned).pixels, tolerance=8)


def test_heic_exif_orientation_is_ignored() -> None:
    photo = decode((DATA / "four_colours_turned.heic").read_bytes())
    assert (photo.width, photo.height) == (48, 64)


def test_10_bit_heic_grey_keeps_its_range() -> None:
    row = decode((DATA / "grey_10bit.heic").read_bytes()).pixels[24, :, 0].astype(int)
    assert row[0] < 20
    assert row[-1] > 235
    assert (np.diff(row) >= -3).all()


def test_heic_metadata_of_a_type_that_is_not_text() -> None:
    """Must not end the process: see `app.photo.heic_decoder`."""
    data = (DATA / "four_colours_turned.heic").read_bytes().replace(b"Exif\0", b"E\xffi\xff\0", 1)
    assert decode(data).width == 48
