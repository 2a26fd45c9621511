"""Limits of a photo, met at its header."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import pytest
from PIL import Image

from app.errors import PhotoTooLarge
from app.photo.decoding import decode
from app.photo.limits import Limits
from tests.app.photo.pictures import KINDS


def test_too_many_bytes() -> None:
    with pytest.raises(PhotoTooLarge, match="at most 100"):
        decode(KINDS["png"], Limits(max_bytes=100))


@pytest.mark.parametrize(
    "name", ["jpeg", "png", "webp lossy", "webp lossless", "alpha webp", "animated webp", "heic", "dicom"]
)
def test_too_many_pixels(name: str) -> None:
    assert decode(KINDS[name], Limits(max_pixels=64 * 48)).width == 64
    with pytest.raises(PhotoTooLarge, match="64x48"):
        decode(KINDS[name], Limits(max_pixels=64 * 48 - 1))


@pytest.mark.parametrize("name", ["jpeg", "png", "webp lossy", "heic", "dicom"])
def test_a_side_too_long(name: str) -> None:
    assert decode(KINDS[name], Limits(max_side=64)).width == 64
    with pytest.raises(PhotoTooLarge, match="64x48 pixels; at most 63 a side"):
        decode(KINDS[name], Limits(max_side=63))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_too_many_frames(kind: str) -> None:
    frames = [Image.new("RGB", (64, 48), (shade, 90, 90)) for shade in (10, 90, 200)]
    out = io.BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:])
    assert decode(out.getvalue(), Limits(max_frames=3)).width == 64
    with pytest.raises(PhotoTooLarge, match="contains 3 pictures; at most 2"):
        decode(out.getvalue(), Limits(max_frames=2))


def test_pictures_behind_a_phone_jpeg_are_not_counted() -> None:
    frames = [Image.new("RGB", (64, 48), (shade, 90, 90)) for shade in (10, 90, 200)]
    out = io.BytesIO()
    frames[0].save(out, "MPO", save_all=True, append_images=frames[1:])
    assert decode(out.getvalue(), Limits(max_frames=1)).pixels[20, 20, 0] < 30


def bomb(kind: str) -> bytes:
    """A few bytes whose header claims 40000x40000 pixels, or the most that the format allows."""
    if kind == "png":
        header = struct.pack(">IIBBBBB", 40000, 40000, 8, 2, 0, 0, 0)
        body = b"IHDR" + header
        return KINDS["png"][:8] + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + KINDS["png"][33:]
    if kind == "jpeg":
        data = bytearray(KINDS["jpeg"])
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", 40000, 40000)
        return bytes(data)
    if kind == "webp":
        data = bytearray(KINDS["animated webp"])
        data[24:30] = (16383).to_bytes(3, "little") * 2
        return bytes(data)
    data = bytearray(KINDS["heic"])
    at = data.find(b"ispe")
    while at > 0:
        data[at + 8 : at + 16] = struct.pack(">II", 40000, 40000)
        at = data.find(b"ispe", at + 1)
    return bytes(data)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "heic"])
def test_decompression_bombs_are_stopped_at_the_header(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PhotoTooLarge):
            decode(bomb(kind))
