"""Bytes in: each accepted kind upright and in sRGB, all else refused by a PhotoError. Bytes out: no metadata."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import subprocess
import sys
import time
import traceback
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from app import drawing
from app.detector.detections import Detections
from app.errors import PhotoError, PhotoTooLarge, UnreadablePhoto, UnsupportedPhoto
from app.photo import images
from app.photo.images import Limits, MediaType
from app.screening import Reason, Verdict

DATA = Path(__file__).parents[2] / "data"
RED, GREEN, BLUE, GREY = (220, 40, 40), (40, 180, 60), (40, 60, 220), (120, 120, 120)
ORIENTATION = 0x0112


def four_colours(width: int = 64, height: int = 48) -> np.ndarray:
    """Red top left, green top right, grey bottom left, blue bottom right."""
    picture = np.empty((height, width, 3), np.uint8)
    top, left = height // 2, width // 2
    picture[:top, :left], picture[:top, left:] = RED, GREEN
    picture[top:, :left], picture[top:, left:] = GREY, BLUE
    return picture


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def corners(pixels: np.ndarray) -> np.ndarray:
    """Colours well inside the four quarters."""
    height, width, _ = pixels.shape
    rows, columns = (height // 4, height * 3 // 4), (width // 4, width * 3 // 4)
    return np.array([pixels[row, column] for row in rows for column in columns], np.int16)


def assert_four_colours(pixels: np.ndarray, tolerance: int = 6) -> None:
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
    assert pixels.shape[1] > pixels.shape[0], "not upright"
    assert np.abs(corners(pixels) - np.array([RED, GREEN, GREY, BLUE])).max() <= tolerance


PICTURE = Image.fromarray(four_colours())
LOSSY = {"quality": 95}
KINDS = {
    "jpeg": saved(PICTURE, "JPEG", **LOSSY),
    "jpeg progressive": saved(PICTURE, "JPEG", progressive=True, **LOSSY),
    "png": saved(PICTURE, "PNG"),
    "webp lossy": saved(PICTURE, "WEBP", **LOSSY),
    "webp lossless": saved(PICTURE, "WEBP", lossless=True),
    "heic": (DATA / "four_colours.heic").read_bytes(),
    "palette": saved(PICTURE.quantize(8), "PNG"),
    "alpha png": saved(PICTURE.convert("RGBA"), "PNG"),
    "alpha webp": saved(PICTURE.convert("RGBA"), "WEBP", lossless=True),
    "animated png": saved(PICTURE, "PNG", save_all=True, append_images=[Image.new("RGB", PICTURE.size, "white")]),
    "animated webp": saved(
        PICTURE, "WEBP", save_all=True, append_images=[Image.new("RGB", PICTURE.size, "white")], lossless=True
    ),
    "mpo": saved(PICTURE, "MPO", save_all=True, append_images=[Image.new("RGB", PICTURE.size, "white")], **LOSSY),
}


@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS.keys())
def test_each_kind_gives_its_pixels(data: bytes) -> None:
    photo = images.decode(data)
    assert (photo.width, photo.height) == (64, 48)
    assert_four_colours(photo.pixels, tolerance=8)
    assert photo.sha256 == hashlib.sha256(data).hexdigest()
    assert not photo.pixels.flags.writeable


TO_STORED = {  # what a camera stores, so that the orientation tag makes it upright again
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


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
    assert_four_colours(images.decode(turned(orientation, kind)).pixels, tolerance=8)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0garbage" * 9])
def test_damaged_exif_leaves_the_photo_as_it_is(exif: bytes) -> None:
    assert_four_colours(images.decode(saved(PICTURE, "JPEG", exif=exif, **LOSSY)).pixels, tolerance=8)


def test_unknown_orientation_is_taken_as_upright() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 42
    assert_four_colours(images.decode(saved(PICTURE, "PNG", exif=exif.tobytes())).pixels)


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
    assert_four_colours(images.decode(stored_turned).pixels, tolerance=8)


def test_heic_exif_orientation_alone_is_information_only() -> None:
    photo = images.decode((DATA / "four_colours_turned.heic").read_bytes())
    assert (photo.width, photo.height) == (48, 64)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_grey(kind: str) -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None], 16, 0)
    pixels = images.decode(saved(Image.fromarray(ramp), kind, **({"quality": 100} if kind != "PNG" else {}))).pixels
    assert np.abs(pixels[8].astype(int) - np.arange(256)[:, None]).max() <= 4


def test_black_and_white() -> None:
    pixels = images.decode(saved(Image.fromarray(four_colours()[:, :, 0] > 100), "PNG")).pixels
    assert sorted(np.unique(pixels)) == [0, 255]


def test_grey_with_alpha() -> None:
    pixels = images.decode(saved(Image.merge("LA", (Image.new("L", (4, 4), 80), Image.new("L", (4, 4), 255))), "PNG"))
    assert (pixels.pixels == 80).all()


def test_16_bit_grey_keeps_its_range() -> None:
    ramp = np.repeat(np.linspace(0, 65535, 256).astype(np.uint16)[None], 4, 0)
    pixels = images.decode(saved(Image.fromarray(ramp), "PNG")).pixels
    assert np.abs(pixels[0].astype(int) - np.arange(256)[:, None]).max() <= 1


def test_10_bit_heic_grey_keeps_its_range() -> None:
    row = images.decode((DATA / "grey_10bit.heic").read_bytes()).pixels[24, :, 0].astype(int)
    assert row[0] < 20
    assert row[-1] > 235
    assert (np.diff(row) >= -3).all()


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
    assert_four_colours(images.decode(png_16_bit(samples)).pixels, tolerance=1)


def test_cmyk_jpeg() -> None:
    """Adobe's inverted kind, which is what Pillow writes and every camera-to-press tool makes."""
    pixels = images.decode(saved(PICTURE.convert("CMYK"), "JPEG", **LOSSY)).pixels
    assert_four_colours(pixels, tolerance=12)


def test_transparent_parts_become_white() -> None:
    rgba = np.concatenate([four_colours(), np.full((48, 64, 1), 255, np.uint8)], 2)
    rgba[:24, :32, 3] = 0
    rgba[:24, 32:, 3] = 128
    found = corners(images.decode(saved(Image.fromarray(rgba), "PNG")).pixels)
    assert found[0].tolist() == [255, 255, 255]
    assert np.abs(found[1] - (np.array(GREEN) + 255) // 2).max() <= 2
    assert found[3].tolist() == list(BLUE)


def test_transparent_palette_entry_becomes_white() -> None:
    palette = PICTURE.quantize(8)
    data = saved(palette, "PNG", transparency=palette.getpixel((0, 0)))
    assert corners(images.decode(data).pixels)[0].tolist() == [255, 255, 255]


def fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def display_p3() -> bytes:
    """An ICC profile (v2, matrix) with Display P3 primaries adapted to D50 and, for brevity, a gamma of 2.2."""
    columns = {b"rXYZ": (0.51512, 0.24120, -0.00105), b"gXYZ": (0.29198, 0.69225, 0.04189)}
    columns |= {b"bXYZ": (0.15710, 0.06657, 0.78407), b"wtpt": (0.9642, 1.0, 0.8249)}
    tags = {name: b"XYZ \0\0\0\0" + b"".join(map(fixed, xyz)) for name, xyz in columns.items()}
    gamma = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma)
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", 8) + b"wide p3\0" + bytes(80)
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI4s4s4s", start + len(body), b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H4s", 2020, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + b"".join(map(fixed, (0.9642, 1, 0.8249)))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_wide_gamut_colours_become_srgb(kind: str) -> None:
    """P3 (200, 100, 100) is about sRGB (213, 93, 96): the same numbers mean a stronger colour there. Greys stay."""
    colour = Image.new("RGB", (8, 8), (200, 100, 100))
    grey = Image.new("RGB", (8, 8), (128, 128, 128))
    options: dict[str, Any] = {"icc_profile": display_p3()} | ({} if kind == "PNG" else {"quality": 100})
    red, green, blue = images.decode(saved(colour, kind, **options)).pixels[4, 4].astype(int)
    assert 208 <= red <= 220
    assert 88 <= green <= 98
    assert 90 <= blue <= 101
    assert np.abs(images.decode(saved(grey, kind, **options)).pixels[4, 4].astype(int) - 128).max() <= 3


SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("icc", [SRGB_PROFILE, b"broken", SRGB_PROFILE[:200], bytes(5000)])
def test_srgb_and_broken_profiles_change_nothing(icc: bytes) -> None:
    assert_four_colours(images.decode(saved(PICTURE, "PNG", icc_profile=icc)).pixels, tolerance=0)


def test_oversized_profile_is_ignored() -> None:
    profile = display_p3().ljust(images.MAX_ICC_BYTES + 1, b"\0")
    assert_four_colours(images.decode(saved(PICTURE, "JPEG", icc_profile=profile, **LOSSY)).pixels, tolerance=8)


def test_profile_for_another_number_of_channels_is_ignored() -> None:
    grey = Image.new("L", (8, 8), 77)
    assert (images.decode(saved(grey, "PNG", icc_profile=display_p3())).pixels == 77).all()


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP", "PDF", "EPS", "JPEG2000", "AVIF", "PPM", "ICO"])
def test_other_formats_are_refused_by_name_of_what_is_accepted(kind: str) -> None:
    out = io.BytesIO()
    PICTURE.save(out, kind)
    with pytest.raises(UnsupportedPhoto, match="JPEG, PNG, WebP or HEIC"):
        images.decode(out.getvalue())


@pytest.mark.parametrize(
    "data", [b"hello", b"\0" * 500, b"<svg/>", bytes(128) + b"DICM", b"\0\0\0\x18ftypisom\0\0\0\0"]
)
def test_unknown_bytes_are_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedPhoto):
        images.decode(data)


def test_no_bytes() -> None:
    with pytest.raises(UnreadablePhoto):
        images.decode(b"")


def camera_photo(width: int = 700, height: int = 525) -> Image.Image:
    """Four colours with noise."""
    noise = np.random.default_rng(3).normal(0, 12, (height, width, 3))
    return Image.fromarray((four_colours(width, height) + noise).clip(0, 255).astype(np.uint8))


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
def test_a_large_jpeg_is_decoded_as_small_as_is_enough(
    options: dict[str, Any], shorter_side: int | None, scale: int
) -> None:
    """And the samples are those of Pillow, which reads it by the same library."""
    data = saved(camera_photo(), "JPEG", quality=90, **options)
    photo = images.decode(data, shorter_side=shorter_side)
    assert (photo.width, photo.height) == (700, 525)
    assert photo.pixels.shape == (-(-525 // scale), -(-700 // scale), 3)
    assert photo.whole == (scale == 1)
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
    photo = images.decode(saved(image, "JPEG", exif=exif.tobytes(), **LOSSY), shorter_side=100)
    assert (photo.width, photo.height) == (700, 525)
    assert photo.pixels.shape == (132, 175, 3)
    assert_four_colours(photo.pixels, tolerance=25)
    assert not photo.whole


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_scaled_jpeg_of_another_colour_space(mode: str) -> None:
    data = saved(camera_photo().convert(mode), "JPEG", **LOSSY)
    photo = images.decode(data, shorter_side=100)
    assert (photo.width, photo.height) == (700, 525)
    assert photo.pixels.shape == (132, 175, 3)
    whole = images.resize(images.decode(data).pixels, 132, 175).astype(int)
    assert np.abs(photo.pixels - whole).mean() < 3


def test_the_profile_of_a_scaled_jpeg_counts() -> None:
    data = saved(camera_photo(), "JPEG", icc_profile=display_p3(), **LOSSY)
    scaled, whole = (images.decode(data, shorter_side=side).pixels for side in (100, None))
    assert np.abs(corners(scaled) - corners(images.resize(whole, *scaled.shape[:2]))).max() <= 12
    assert np.abs(corners(scaled) - [RED, GREEN, GREY, BLUE]).max() > 20, "the profile was ignored"


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_other_formats_are_decoded_whole(kind: str) -> None:
    assert images.decode(saved(camera_photo(), kind), shorter_side=100).whole


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("shorter_side", [None, 100])
def test_damaged_jpegs_are_refused_at_every_scale(progressive: bool, shorter_side: int | None) -> None:
    data = saved(camera_photo(), "JPEG", progressive=progressive, **LOSSY)
    for share in (0.3, 0.7, 0.99):
        with pytest.raises(UnreadablePhoto):
            images.decode(data[: int(len(data) * share)], shorter_side=shorter_side)


@pytest.mark.parametrize("shorter_side", [None, 100])
def test_what_libjpeg_mends_is_decoded_at_every_scale(shorter_side: int | None) -> None:
    """Bytes behind the picture, and damage within that costs some blocks, as Pillow has it."""
    data = saved(camera_photo(), "JPEG", **LOSSY)
    plain = images.decode(data, shorter_side=shorter_side).pixels
    assert (images.decode(data + b"trailer", shorter_side=shorter_side).pixels == plain).all()
    damaged = bytearray(data)
    middle = len(data) // 2
    damaged[middle : middle + 4] = b"\x12\x34\x56\x78"
    with pytest.raises(ValueError, match="JPEG"):
        images.simplejpeg.decode_jpeg(bytes(damaged))
    with Image.open(io.BytesIO(bytes(damaged))) as image:
        image.draft(None, (175, 131) if shorter_side else image.size)
        assert (images.decode(bytes(damaged), shorter_side=shorter_side).pixels == np.asarray(image)).all()


@pytest.mark.parametrize("progressive", [False, True])
def test_a_spoilt_jpeg_has_one_fate_at_every_scale(progressive: bool) -> None:
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
                photo = images.decode(bytes(spoilt), Limits(max_pixels=100_000), shorter_side=shorter_side)
            except PhotoError as error:
                found.append(str(error))
            else:
                found.append(f"decoded {photo.width}x{photo.height}")
        assert found[0] == found[1]
        fates.add(found[0])
    assert len(fates) > 1


def test_limits_hold_for_the_whole_photo_when_it_is_scaled() -> None:
    data = saved(camera_photo(), "JPEG", **LOSSY)
    with pytest.raises(PhotoTooLarge, match="700x525"):
        images.decode(data, Limits(max_pixels=700 * 525 - 1), shorter_side=100)


def test_a_decoder_that_reads_another_size_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits were checked on the size that Pillow read."""
    data = saved(PICTURE, "JPEG", **LOSSY)
    monkeypatch.setattr(images.simplejpeg, "decode_jpeg_header", lambda *_, **__: (40000, 40000, "YCbCr", "420"))
    monkeypatch.setattr(images.simplejpeg, "decode_jpeg", lambda *_, **__: pytest.fail("decoded all the same"))
    assert_four_colours(images.decode(data).pixels, tolerance=8)


STILLS = ["jpeg", "jpeg progressive", "png", "webp lossy", "webp lossless", "heic", "palette", "alpha png"]


@pytest.mark.parametrize("name", STILLS)
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_truncated_photos_are_unreadable(name: str, share: float) -> None:
    """Stills only: a part of an animation can hold its whole first frame."""
    with pytest.raises(UnreadablePhoto):
        images.decode(KINDS[name][: int(len(KINDS[name]) * share)])


def test_too_many_bytes() -> None:
    with pytest.raises(PhotoTooLarge, match="at most 100"):
        images.decode(KINDS["png"], Limits(max_bytes=100))


@pytest.mark.parametrize("name", ["jpeg", "png", "webp lossy", "webp lossless", "alpha webp", "animated webp", "heic"])
def test_too_many_pixels(name: str) -> None:
    assert images.decode(KINDS[name], Limits(max_pixels=64 * 48)).width == 64
    with pytest.raises(PhotoTooLarge, match="64x48"):
        images.decode(KINDS[name], Limits(max_pixels=64 * 48 - 1))


@pytest.mark.parametrize("name", ["jpeg", "png", "webp lossy", "heic"])
def test_a_side_too_long(name: str) -> None:
    assert images.decode(KINDS[name], Limits(max_side=64)).width == 64
    with pytest.raises(PhotoTooLarge, match="64x48 pixels; at most 63 a side"):
        images.decode(KINDS[name], Limits(max_side=63))


@pytest.mark.parametrize("shape", [(15_000, 80), (80, 15_000), (15_000, 4_266)])
@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "image/webp"])
def test_the_longest_photo_with_its_legend_fits_into_every_format(shape: tuple[int, int], kind: MediaType) -> None:
    height, width = shape
    pixels = np.zeros((height, width, 3), np.uint8)
    Limits().check_size(width, height)
    annotated = drawing.annotate(
        pixels,
        Detections.empty(),
        class_names={1: "normal", 2: "caries"},
        screened_class_id=2,
        verdict=Verdict.NOT_ASSESSABLE,
        reasons=tuple(Reason),
        model="caries-ssd-mobilenet-v2-fpnlite-320 v1",
        hidden=99,
        lang="ko",
    )
    assert annotated.shape[0] > height
    assert Image.open(io.BytesIO(images.encode(annotated, kind))).size == annotated.shape[1::-1]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_too_many_frames(kind: str) -> None:
    frames = [Image.new("RGB", (64, 48), (shade, 90, 90)) for shade in (10, 90, 200)]
    out = io.BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:])
    assert images.decode(out.getvalue(), Limits(max_frames=3)).width == 64
    with pytest.raises(PhotoTooLarge, match="holds 3 pictures; at most 2"):
        images.decode(out.getvalue(), Limits(max_frames=2))


def test_what_a_phone_puts_behind_its_picture_does_not_count() -> None:
    frames = [Image.new("RGB", (64, 48), (shade, 90, 90)) for shade in (10, 90, 200)]
    out = io.BytesIO()
    frames[0].save(out, "MPO", save_all=True, append_images=frames[1:])
    assert images.decode(out.getvalue(), Limits(max_frames=1)).pixels[20, 20, 0] < 30


@pytest.mark.parametrize("name", ["jpeg", "png", "webp lossy", "heic"])
def test_only_chosen_formats_are_read(name: str) -> None:
    chosen = name.split()[0]
    assert images.decode(KINDS[name], Limits(formats=frozenset({chosen}))).width == 64
    others = frozenset({"jpeg", "png", "webp", "heic"} - {chosen})
    with pytest.raises(UnsupportedPhoto, match=r"files are not accepted; send \w+, \w+ or \w+$"):
        images.decode(KINDS[name], Limits(formats=others))


def bomb(kind: str) -> bytes:
    """A few bytes whose header promises 40000x40000 pixels or the most that the format can say."""
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
            images.decode(bomb(kind))


START_OF_SCAN = b"\xff\xda"


def with_scans(data: bytes, count: int) -> bytes:
    """The progressive JPEG with its last scan again and again, without its samples, so that it has `count`."""
    last = data.rindex(START_OF_SCAN)
    return data[:-2] + data[last : last + 10] * (count - data.count(START_OF_SCAN)) + data[-2:]


@pytest.mark.parametrize("shorter_side", [None, 10])
def test_a_jpeg_that_is_passed_over_again_and_again(shorter_side: int | None) -> None:
    """libjpeg mends each of the scans, one after the other, for minutes where the picture is large."""
    data = KINDS["jpeg progressive"]
    most = with_scans(data, images.MAX_SCANS)
    assert_four_colours(images.decode(most, shorter_side=shorter_side).pixels, tolerance=8)
    for more in (with_scans(data, images.MAX_SCANS + 1), with_scans(data, 100_000)):
        for hidden in (more, more.replace(START_OF_SCAN, b"\xff" + START_OF_SCAN)):
            with pytest.raises(PhotoTooLarge, match="more than 32 scans"):
                images.decode(hidden, shorter_side=shorter_side)


def test_scans_between_which_much_stands() -> None:
    data = KINDS["jpeg progressive"]
    scans = with_scans(data, 40)[len(data) - 2 : -2]
    with pytest.raises(PhotoTooLarge, match="scans"):
        images.decode(data[:-2] + b"\xff\xfe\0\2" * images.MAX_SEGMENTS + scans + data[-2:])


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_scans_that_are_not_of_the_picture_do_not_count(mode: str) -> None:
    """Of a thumbnail and other segments, and of what a phone puts behind the picture; and restarts are no scans."""
    whole = saved(camera_photo().convert(mode), "JPEG", progressive=True, restart_marker_blocks=1)
    assert whole.count(START_OF_SCAN) >= 5
    others = START_OF_SCAN * 20_000
    segment = b"\xff\xe5" + struct.pack(">H", 2 + len(others)) + others
    pixels = images.decode(whole[:2] + segment * 3 + whole[2:] + others).pixels
    assert (pixels == images.decode(whole).pixels).all()


def test_markers_that_mean_nothing_are_not_gone_through_without_end() -> None:
    jpeg, began = KINDS["jpeg"], time.process_time()
    with pytest.raises(PhotoTooLarge, match="more than 32 scans"):
        images.decode(jpeg[:-2] + b"\xff\x02" * 8_000_000 + START_OF_SCAN * 40 + jpeg[-2:])
    assert time.process_time() - began < 1


def test_files_of_very_many_parts() -> None:
    """Pillow takes microseconds for each, without letting go of the interpreter."""
    jpeg, png = KINDS["jpeg"], KINDS["png"]
    for part in (b"\xff\xfe\0\2", b"\xff\xe1\0\2", b"\xff", b"\xff\0", b"\xff\xd9", b"\xff\xf0", b"\xff\xfe\0\2\0"):
        with pytest.raises(PhotoTooLarge, match="more than 65536 parts"):
            images.decode(jpeg[:2] + part * 70_000 + jpeg[2:])
    for name, at in ((b"teSt", 33), (b"IDAT", 33), (b"teSt", len(png) - 12)):
        chunk = struct.pack(">I", 0) + name + struct.pack(">I", zlib.crc32(name))
        assert_four_colours(images.decode(png[:at] + chunk * 5_000 + png[at:]).pixels)
        with pytest.raises(PhotoTooLarge, match="more than 65536 chunks"):
            images.decode(png[:at] + chunk * 70_000 + png[at:])
    assert_four_colours(images.decode(png + bytes(1_000_000)).pixels)


MEMORY = """
import re, sys
from pathlib import Path
from app import images
from app.process.memory import return_large_blocks

def most():
    return int(re.findall(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[0]) * 1024

return_large_blocks()
images.decode(Path(sys.argv[1]).read_bytes())
large = Path(sys.argv[2]).read_bytes()
before = most()
pixels = images.decode(large).pixels
print((most() - before) / (pixels.size / 3))
"""


ENCODING = """
import numpy as np
noise = np.frombuffer(np.random.default_rng(0).bytes(2500 * 2500 * 3), np.uint8).reshape(2500, 2500, 3)
images.encode(noise[:16], sys.argv[1])
before = most()
images.encode(noise, sys.argv[1])
print((most() - before) / (noise.size / 3))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of memory")
@pytest.mark.parametrize(
    ("mode", "kind", "most", "options"),
    [
        ("RGB", "JPEG", 7, {"icc_profile": True, "exif": True}),
        ("RGB", "JPEG", 10, {"progressive": True, "subsampling": 0, "exif": True}),
        ("CMYK", "JPEG", 12, {"progressive": True, "exif": True}),
        ("RGB", "PNG", 7, {"icc_profile": True, "exif": True}),
        ("RGBA", "PNG", 7, {"icc_profile": True, "exif": True}),
        ("I;16", "PNG", 7, {"exif": True}),
        ("P", "PNG", 7, {"transparency": 0}),
        ("RGB", "WEBP", 12, {"icc_profile": True, "exif": True}),
        ("RGBA", "WEBP", 12, {"lossless": True, "exif": True}),
    ],
)
def test_decoding_takes_no_more_memory_than_is_said(
    mode: str, kind: str, most: int, options: dict[str, Any], tmp_path: Path
) -> None:
    """Of `Limits`, and of docs/operations.md. The one byte more is for what does not grow with the photo."""
    options = dict(options)
    if options.pop("exif", False):
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        options["exif"] = exif.tobytes()
    if options.pop("icc_profile", False):
        options["icc_profile"] = display_p3()
    for name, side in (("small", 16), ("large", 4000)):
        picture = Image.new("RGB", (side, side), GREY).convert("L" if mode == "I;16" else mode)
        if mode == "I;16":
            picture = Image.fromarray(np.full((side, side), 30_000, np.uint16))
        (tmp_path / name).write_bytes(saved(picture, kind, **options))
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "small"), str(tmp_path / "large")]
    done = subprocess.run(command, cwd=DATA.parents[1], capture_output=True, text=True, check=True)
    assert float(done.stdout) < most + 1


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of memory")
@pytest.mark.parametrize(("media_type", "most"), [("image/png", 9), ("image/jpeg", 9), ("image/webp", 14)])
def test_encoding_takes_no_more_memory_than_is_said(media_type: str, most: int) -> None:
    """Of noise, the picture itself included."""
    code = MEMORY.partition("images.decode")[0] + ENCODING
    command = [sys.executable, "-c", code, media_type]
    done = subprocess.run(command, cwd=DATA.parents[1], capture_output=True, text=True, check=True)
    assert 3 + float(done.stdout) < most + 1


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 1)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_extreme_shapes(size: tuple[int, int], kind: str) -> None:
    photo = images.decode(saved(Image.new("RGB", size, (9, 9, 9)), kind))
    assert (photo.width, photo.height) == size
    assert images.resize(photo.pixels, 320, 320).shape == (320, 320, 3)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # Pillow's remarks on damaged EXIF and animations
@pytest.mark.parametrize("name", KINDS)
def test_damaged_bytes_raise_only_photo_errors(name: str) -> None:
    chance = random.Random(name)
    for _ in range(40):
        data = bytearray(KINDS[name])
        if chance.random() < 0.4:
            del data[chance.randrange(len(data)) :]
        for _ in range(chance.randrange(6)):
            if data:
                data[min(chance.randrange(len(data)) for _ in range(2))] = chance.randrange(256)
        try:
            photo = images.decode(bytes(data), Limits(max_pixels=1_000_000))
        except PhotoError as error:
            message = str(error)
        else:
            message = "decoded"
            assert photo.pixels.shape == (photo.height, photo.width, 3)
        assert message
        assert "\n" not in message


def test_heic_metadata_of_a_type_that_is_not_text() -> None:
    """Must not end the process: see `app.photo.heic_decoder`."""
    data = (DATA / "four_colours_turned.heic").read_bytes().replace(b"Exif\0", b"E\xffi\xff\0", 1)
    assert images.decode(data).width == 48


def test_random_bytes_after_a_good_signature() -> None:
    chance = random.Random(0)
    for name in KINDS:
        for _ in range(10):
            with pytest.raises(PhotoError):
                images.decode(KINDS[name][:12] + chance.randbytes(200))


def test_threads_do_not_disturb_each_other() -> None:
    with ThreadPoolExecutor(4) as pool:
        for photo in pool.map(images.decode, [*KINDS.values()] * 4):
            assert_four_colours(photo.pixels, tolerance=8)


MEDIA_TYPES: list[images.MediaType] = ["image/png", "image/jpeg", "image/webp"]


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_encoded_pictures_open_again(media_type: images.MediaType) -> None:
    data = images.encode(four_colours(), media_type)
    with Image.open(io.BytesIO(data)) as image:
        assert image.get_format_mimetype() == media_type
        image.verify()
    assert_four_colours(images.decode(data).pixels, tolerance=0 if media_type == "image/png" else 12)


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (33, 57)])
def test_png_is_lossless_for_noise(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert (images.decode(images.encode(noise, "image/png")).pixels == noise).all()
    turned_view = noise.transpose(1, 0, 2)
    assert (images.decode(images.encode(turned_view, "image/png")).pixels == turned_view).all()


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (100, 70), (101, 71), (700, 900)])
def test_nothing_changes_by_strips(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    data = saved(Image.fromarray(noise), "PNG")
    small = images.resize(noise, 16, 16)
    monkeypatch.setattr(images, "STRIP", 1500)
    assert (images.decode(data).pixels == noise).all()
    assert (images.resize(noise, 16, 16) == small).all()


@pytest.mark.parametrize("height", [1, 2, 99, 100, 101, 1000])
def test_png_of_several_strips_is_lossless(height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "PNG_STRIP", 100 * (1 + 3 * 21))
    noise = np.random.default_rng(0).integers(0, 256, (height, 21, 3), np.uint8)
    assert (images.decode(images.encode(noise, "image/png")).pixels == noise).all()


@pytest.mark.parametrize("height", [1, 2, 3, 7, 100, 301])
@pytest.mark.parametrize("threads", [2, 3, 4])
def test_png_of_several_threads_is_the_same_picture(height: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "PNG_STRIP", 4_000)
    noise = np.random.default_rng(1).integers(0, 256, (height, 50, 3), np.uint8)
    noise[height // 3 :, :20] = 9
    data = images.encode(noise, "image/png", threads=threads)
    # Each of its checksums, those of the chunks and that of the unpacked stream, is compared.
    Image.open(io.BytesIO(data)).verify()
    assert (np.asarray(Image.open(io.BytesIO(data))) == noise).all()
    assert zlib.decompress(png_stream(data))[0] == 2
    assert len(data) < len(images.encode(noise, "image/png")) + threads * 100


def png_stream(data: bytes) -> bytes:
    """What the IDAT chunks of a PNG hold together."""
    at, stream = 8, b""
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        if data[at + 4 : at + 8] == b"IDAT":
            stream += data[at + 8 : at + 8 + size]
        at += 12 + size
    return stream


def test_png_is_about_as_small_as_pillows() -> None:
    pixels = images.decode(saved(camera_photo(1600, 1200), "JPEG", quality=90)).pixels
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    assert len(images.encode(pixels, "image/png")) <= 1.3 * len(out.getvalue())


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_no_metadata_leaves(media_type: images.MediaType) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SecretMaker"
    exif.get_ifd(0x8825).update({1: "N", 2: (37.0, 33.0, 59.0), 29: "2026:01:02"})
    sent = saved(PICTURE, "JPEG", exif=exif.tobytes(), icc_profile=display_p3(), comment=b"SecretName", **LOSSY)
    assert b"SecretMaker" in sent
    data = images.encode(images.decode(sent).pixels, media_type)
    with Image.open(io.BytesIO(data)) as image:
        assert not image.getexif()
        assert not {"exif", "icc_profile", "xmp", "comment", "photoshop"} & set(image.info)
    assert not any(word in data for word in (b"Secret", b"Exif", b"EXIF", b"eXIf", b"ICC", b"2026", b"tEXt"))


def test_other_media_types_are_not_written() -> None:
    with pytest.raises(ValueError, match="image/gif"):
        images.encode(four_colours(), "image/gif")  # type: ignore[arg-type]


def test_resize_squeezes_and_averages() -> None:
    assert_four_colours(images.resize(four_colours(), 30, 40), tolerance=0)
    assert images.resize(four_colours(), 320, 100).shape == (320, 100, 3)
    stripes = np.zeros((1200, 1600, 3), np.uint8)
    stripes[:, ::2] = 255
    small = images.resize(stripes, 320, 320)
    assert np.abs(small.astype(int) - 127).max() <= 16, "not antialiased: unfiltered stripes stay 0 and 255"


@pytest.mark.parametrize("shape", [(480, 640), (1200, 1600), (3000, 2000), (200, 150), (50, 700)])
def test_resize_is_close_to_the_exact_filter(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    exact = np.asarray(Image.fromarray(noise).resize((320, 320), Image.Resampling.BILINEAR))
    assert np.abs(images.resize(noise, 320, 320).astype(int) - exact).max() <= (8 if max(shape) >= 1920 else 1)


def test_what_a_refused_photo_was_decoded_to_goes_with_it() -> None:
    """Not when Python next looks for garbage: the error may be part of a cycle, and knows every frame."""
    whole = images.encode(np.random.default_rng(1).integers(0, 256, (400, 600, 3), np.uint8), "image/png")
    with pytest.raises(UnreadablePhoto) as caught:
        images.decode(whole[: len(whole) // 2])
    errors = [caught.value, caught.value.__cause__]
    frames = [frame for error in errors for frame, _ in traceback.walk_tb(error.__traceback__)]
    assert len(frames) > 4, "where it came from can still be told"
    held = [value for frame in frames for value in frame.f_locals.values()]
    assert not [value for value in held if isinstance(value, (Image.Image, np.ndarray))]
