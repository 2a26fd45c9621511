"""The PNG writer: lossless, small, and the same in strips and threads."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from app.photo import png
from app.photo.decoding import decode
from app.photo.encoding import encode
from tests.app.photo.pictures import camera_photo, saved


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (33, 57)])
def test_png_is_lossless_for_noise(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert (decode(encode(noise, "image/png")).pixels == noise).all()
    turned_view = noise.transpose(1, 0, 2)
    assert (decode(encode(turned_view, "image/png")).pixels == turned_view).all()


@pytest.mark.parametrize("height", [1, 2, 99, 100, 101, 1000])
def test_png_of_several_strips_is_lossless(height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "STRIP_BYTES", 100 * (1 + 3 * 21))
    noise = np.random.default_rng(0).integers(0, 256, (height, 21, 3), np.uint8)
    assert (decode(encode(noise, "image/png")).pixels == noise).all()


@pytest.mark.parametrize("height", [1, 2, 3, 7, 100, 301])
@pytest.mark.parametrize("threads", [2, 3, 4])
def test_png_of_several_threads_is_lossless(height: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "STRIP_BYTES", 4_000)
    noise = np.random.default_rng(1).integers(0, 256, (height, 50, 3), np.uint8)
    noise[height // 3 :, :20] = 9
    data = encode(noise, "image/png", threads=threads)
    # Each of its checksums, those of the chunks and that of the unpacked stream, is compared.
    Image.open(io.BytesIO(data)).verify()
    assert (np.asarray(Image.open(io.BytesIO(data))) == noise).all()
    assert zlib.decompress(png_stream(data))[0] == 2
    assert len(data) < len(encode(noise, "image/png")) + threads * 100


def png_stream(data: bytes) -> bytes:
    """The joined contents of the IDAT chunks of a PNG."""
    at, stream = 8, b""
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        if data[at + 4 : at + 8] == b"IDAT":
            stream += data[at + 8 : at + 8 + size]
        at += 12 + size
    return stream


@pytest.mark.slow
def test_png_is_nearly_as_small_as_with_pillow() -> None:
    pixels = decode(saved(camera_photo(1600, 1200), "JPEG", quality=90)).pixels
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    assert len(encode(pixels, "image/png")) <= 1.3 * len(out.getvalue())
