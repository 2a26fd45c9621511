"""Bytes in: each accepted format gives its pixels, everything else is refused by a PhotoError."""

from __future__ import annotations

import hashlib
import random
import struct
import subprocess
import sys
import traceback
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.errors import PhotoError, PhotoTooLarge, UnreadablePhoto
from app.photo.decoding import decode
from app.photo.encoding import encode
from app.photo.limits import Limits
from app.photo.resizing import resize
from tests.app.photo.pictures import (
    DATA,
    GREY,
    KINDS,
    ORIENTATION,
    PEAK,
    assert_four_colours,
    camera_photo,
    display_p3,
    saved,
)


@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS.keys())
def test_each_format_gives_its_pixels(data: bytes) -> None:
    photo = decode(data)
    assert (photo.width, photo.height) == (64, 48)
    assert_four_colours(photo.pixels, tolerance=8)
    assert photo.sha256 == hashlib.sha256(data).hexdigest()
    assert not photo.pixels.flags.writeable


def test_no_bytes() -> None:
    with pytest.raises(UnreadablePhoto):
        decode(b"")


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_only_jpegs_are_scaled(kind: str) -> None:
    assert decode(saved(camera_photo(), kind), shorter_side=100).is_full_size


STILLS = ["jpeg", "jpeg progressive", "png", "webp lossy", "webp lossless", "heic", "palette", "alpha png", "dicom"]


@pytest.mark.parametrize("name", STILLS)
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_truncated_photos_are_unreadable(name: str, share: float) -> None:
    """Stills only: a part of an animation can contain its entire first frame."""
    with pytest.raises(UnreadablePhoto):
        decode(KINDS[name][: int(len(KINDS[name]) * share)])


def test_pngs_of_very_many_chunks() -> None:
    """Pillow takes microseconds for each, without releasing the interpreter."""
    png = KINDS["png"]
    for name, at in ((b"teSt", 33), (b"IDAT", 33), (b"teSt", len(png) - 12)):
        chunk = struct.pack(">I", 0) + name + struct.pack(">I", zlib.crc32(name))
        assert_four_colours(decode(png[:at] + chunk * 5_000 + png[at:]).pixels)
        with pytest.raises(PhotoTooLarge, match="more than 65536 chunks"):
            decode(png[:at] + chunk * 70_000 + png[at:])
    assert_four_colours(decode(png + bytes(1_000_000)).pixels)


DECODING = """
decode(Path(sys.argv[1]).read_bytes())
large = Path(sys.argv[2]).read_bytes()
before = most()
pixels = decode(large).pixels
print((most() - before) / (pixels.size / 3))
"""


@pytest.mark.slow
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
def test_decoding_stays_within_its_documented_memory(
    mode: str, kind: str, most: int, options: dict[str, Any], tmp_path: Path
) -> None:
    """The bounds of `Limits` and docs/install.md, plus one byte for memory that does not grow with the photo."""
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
    command = [sys.executable, "-c", PEAK + DECODING, str(tmp_path / "small"), str(tmp_path / "large")]
    done = subprocess.run(command, cwd=DATA.parents[1], capture_output=True, text=True, check=True)
    assert float(done.stdout) < most + 1


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 1)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_extreme_shapes(size: tuple[int, int], kind: str) -> None:
    photo = decode(saved(Image.new("RGB", size, (9, 9, 9)), kind))
    assert (photo.width, photo.height) == size
    assert resize(photo.pixels, 320, 320).shape == (320, 320, 3)


@pytest.mark.slow
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
            photo = decode(bytes(data), Limits(max_pixels=1_000_000))
        except PhotoError as error:
            message = str(error)
        else:
            message = "decoded"
            assert photo.pixels.shape == (photo.height, photo.width, 3)
        assert message
        assert "\n" not in message


@pytest.mark.slow
def test_random_bytes_after_a_good_signature() -> None:
    chance = random.Random(0)
    for name in KINDS:
        for _ in range(10):
            with pytest.raises(PhotoError):
                decode(KINDS[name][:12] + chance.randbytes(200))


def test_threads_do_not_disturb_each_other() -> None:
    with ThreadPoolExecutor(4) as pool:
        for photo in pool.map(decode, [*KINDS.values()] * 4):
            assert_four_colours(photo.pixels, tolerance=8)


def test_a_refused_photo_frees_its_pixels_immediately() -> None:
    """Without waiting for garbage collection: the error refers to every frame and can be part of a cycle."""
    whole = encode(np.random.default_rng(1).integers(0, 256, (400, 600, 3), np.uint8), "image/png")
    with pytest.raises(UnreadablePhoto) as caught:
        decode(whole[: len(whole) // 2])
    cause = caught.value.__cause__
    assert cause is not None
    errors = [caught.value, cause]
    frames = [frame for error in errors for frame, _ in traceback.walk_tb(error.__traceback__)]
    assert len(frames) > 4, "the traceback is still complete"
    held = [value for frame in frames for value in frame.f_locals.values()]
    assert not [value for value in held if isinstance(value, (Image.Image, np.ndarray))]
