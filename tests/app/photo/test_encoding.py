"""Pictures out: every format opens again and contains no metadata."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from app.photo.decoding import decode
from app.photo.encoding import encode
from app.photo.formats import MediaType
from tests.app.photo.pictures import DATA, LOSSY, PEAK, PICTURE, assert_four_colours, display_p3, four_colours, saved

MEDIA_TYPES: list[MediaType] = ["image/png", "image/jpeg", "image/webp"]


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_encoded_pictures_open_again(media_type: MediaType) -> None:
    data = encode(four_colours(), media_type)
    with Image.open(io.BytesIO(data)) as image:
        assert image.get_format_mimetype() == media_type
        image.verify()
    assert_four_colours(decode(data).pixels, tolerance=0 if media_type == "image/png" else 12)


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_pictures_contain_no_metadata(media_type: MediaType) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SecretMaker"
    exif.get_ifd(0x8825).update({1: "N", 2: (37.0, 33.0, 59.0), 29: "2026:01:02"})
    sent = saved(PICTURE, "JPEG", exif=exif.tobytes(), icc_profile=display_p3(), comment=b"SecretName", **LOSSY)
    assert b"SecretMaker" in sent
    data = encode(decode(sent).pixels, media_type)
    with Image.open(io.BytesIO(data)) as image:
        assert not image.getexif()
        assert not {"exif", "icc_profile", "xmp", "comment", "photoshop"} & set(image.info)
    assert not any(word in data for word in (b"Secret", b"Exif", b"EXIF", b"eXIf", b"ICC", b"2026", b"tEXt"))


def test_other_media_types_are_not_written() -> None:
    with pytest.raises(ValueError, match="image/gif"):
        encode(four_colours(), "image/gif")  # type: ignore[arg-type]


ENCODING = """
noise = np.frombuffer(np.random.default_rng(0).bytes(2500 * 2500 * 3), np.uint8).reshape(2500, 2500, 3)
encode(noise[:16], sys.argv[1])
before = most()
encode(noise, sys.argv[1])
print((most() - before) / (noise.size / 3))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of memory")
@pytest.mark.parametrize(("media_type", "most"), [("image/png", 9), ("image/jpeg", 9), ("image/webp", 14)])
def test_encoding_stays_within_its_documented_memory(media_type: str, most: int) -> None:
    """For noise, including the picture itself."""
    command = [sys.executable, "-c", PEAK + ENCODING, media_type]
    done = subprocess.run(command, cwd=DATA.parents[1], capture_output=True, text=True, check=True)
    assert 3 + float(done.stdout) < most + 1
