"""Every mode, orientation and colour profile becomes upright 8-bit sRGB."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from app.photo import pixels
from app.photo.decoding import decode
from tests.app.photo.pictures import (
    BLUE,
    GREEN,
    LOSSY,
    ORIENTATION,
    PICTURE,
    TO_STORED,
    assert_four_colours,
    corners,
    display_p3,
    four_colours,
    saved,
)


def turned(orientation: int, kind: str) -> bytes:
    turn = TO_STORED[orientation]
    stored = PICTURE.transpose(turn) if turn is not None else PICTURE
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    choices: dict[str, dict[str, Any]] = {"PNG": {}, "JPEG": LOSSY, "WEBP": {"lossless": True}}
    return saved(stored, kind, exif=exif.tobytes(), **choices[kind])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", TO_STORED)
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    assert_four_colours(decode(turned(orientation, kind)).pixels, tolerance=8)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0garbage" * 9])
def test_damaged_exif_is_ignored(exif: bytes) -> None:
    assert_four_colours(decode(saved(PICTURE, "JPEG", exif=exif, **LOSSY)).pixels, tolerance=8)


def test_unknown_orientation_counts_as_upright() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 42
    assert_four_colours(decode(saved(PICTURE, "PNG", exif=exif.tobytes())).pixels)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_grey(kind: str) -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None], 16, 0)
    pixels = decode(saved(Image.fromarray(ramp), kind, **({"quality": 100} if kind != "PNG" else {}))).pixels
    assert np.abs(pixels[8].astype(int) - np.arange(256)[:, None]).max() <= 4


def test_black_and_white() -> None:
    pixels = decode(saved(Image.fromarray(four_colours()[:, :, 0] > 100), "PNG")).pixels
    assert sorted(np.unique(pixels)) == [0, 255]


def test_grey_with_alpha() -> None:
    pixels = decode(saved(Image.merge("LA", (Image.new("L", (4, 4), 80), Image.new("L", (4, 4), 255))), "PNG"))
    assert (pixels.pixels == 80).all()


def test_16_bit_grey_keeps_its_range() -> None:
    ramp = np.repeat(np.linspace(0, 65535, 256).astype(np.uint16)[None], 4, 0)
    pixels = decode(saved(Image.fromarray(ramp), "PNG")).pixels
    assert np.abs(pixels[0].astype(int) - np.arange(256)[:, None]).max() <= 1


def png_16_bit(samples: np.ndarray) -> bytes:
    """A PNG of uint16 `[height, width, 3 or 4]`, which Pillow cannot write."""
    height, width, channels = samples.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colour_keeps_its_range(channels: int) -> None:
    samples = four_colours().astype(np.uint16) * 257
    if channels == 4:
        samples = np.concatenate([samples, np.full((*samples.shape[:2], 1), 65535, np.uint16)], 2)
    assert_four_colours(decode(png_16_bit(samples)).pixels, tolerance=1)


def test_cmyk_jpeg() -> None:
    """Adobe's inverted kind, which Pillow and prepress tools write."""
    pixels = decode(saved(PICTURE.convert("CMYK"), "JPEG", **LOSSY)).pixels
    assert_four_colours(pixels, tolerance=12)


def test_transparent_parts_become_white() -> None:
    rgba = np.concatenate([four_colours(), np.full((48, 64, 1), 255, np.uint8)], 2)
    rgba[:24, :32, 3] = 0
    rgba[:24, 32:, 3] = 128
    found = corners(decode(saved(Image.fromarray(rgba), "PNG")).pixels)
    assert found[0].tolist() == [255, 255, 255]
    assert np.abs(found[1] - (np.array(GREEN) + 255) // 2).max() <= 2
    assert found[3].tolist() == list(BLUE)


def test_transparent_palette_entry_becomes_white() -> None:
    palette = PICTURE.quantize(8)
    data = saved(palette, "PNG", transparency=palette.getpixel((0, 0)))
    assert corners(decode(data).pixels)[0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_wide_gamut_colours_become_srgb(kind: str) -> None:
    """P3 (200, 100, 100) is about sRGB (213, 93, 96): the same numbers mean a stronger colour there. Greys stay."""
    colour = Image.new("RGB", (8, 8), (200, 100, 100))
    grey = Image.new("RGB", (8, 8), (128, 128, 128))
    options: dict[str, Any] = {"icc_profile": display_p3()} | ({} if kind == "PNG" else {"quality": 100})
    red, green, blue = decode(saved(colour, kind, **options)).pixels[4, 4].astype(int)
    assert 208 <= red <= 220
    assert 88 <= green <= 98
    assert 90 <= blue <= 101
    assert np.abs(decode(saved(grey, kind, **options)).pixels[4, 4].astype(int) - 128).max() <= 3


SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("icc", [SRGB_PROFILE, b"broken", SRGB_PROFILE[:200], bytes(5000)])
def test_srgb_and_broken_profiles_change_nothing(icc: bytes) -> None:
    assert_four_colours(decode(saved(PICTURE, "PNG", icc_profile=icc)).pixels, tolerance=0)


def test_oversized_profile_is_ignored() -> None:
    profile = display_p3().ljust(pixels.MAX_ICC_BYTES + 1, b"\0")
    assert_four_colours(decode(saved(PICTURE, "JPEG", icc_profile=profile, **LOSSY)).pixels, tolerance=8)


def test_profile_for_another_number_of_channels_is_ignored() -> None:
    grey = Image.new("L", (8, 8), 77)
    assert (decode(saved(grey, "PNG", icc_profile=display_p3())).pixels == 77).all()


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (100, 70), (101, 71), (700, 900)])
def test_pixels_do_not_depend_on_strips(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    monkeypatch.setattr(pixels, "STRIP", 1500)
    assert (decode(saved(Image.fromarray(noise), "PNG")).pixels == noise).all()
