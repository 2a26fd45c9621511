"""The process that decodes JPEG 2000, JPEG-LS and RLE: RLE by hand, and the time that a codestream may take."""

from __future__ import annotations

import struct
import time

import numpy as np
import pytest
from pydicom.uid import RLELossless

from app.errors import PhotoTooLarge
from app.photo import separate
from app.photo.codestream_decoder import decode_rle, unpack_bits
from app.photo.decoding import decode
from tests.app.photo import dicom_files as files
from tests.app.photo.pictures import four_colours

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


@pytest.mark.parametrize(
    ("segment", "length", "unpacked"),
    [
        (b"\x02abc", 3, b"abc"),
        (b"\xfea", 3, b"aaa"),
        (b"\x80\xfea\x00b", 4, b"aaab"),
        (b"\x81a", 128, b"a" * 128),
        (b"\x02abc\0\0", 3, b"abc"),
    ],
)
def test_runs(segment: bytes, length: int, unpacked: bytes) -> None:
    assert unpack_bits(segment, length) == unpacked


@pytest.mark.parametrize("segment", [b"", b"\x02a", b"\x80\x80", b"\xfda", b"\x02abc\x02abc"])
def test_another_number_of_samples(segment: bytes) -> None:
    with pytest.raises(ValueError, match="not the samples"):
        unpack_bits(segment, 3)


def test_another_number_of_segments() -> None:
    frame = files.rle(four_colours())
    assert np.asarray(decode_rle(frame, (64, 48), 3)).tolist() == four_colours().tolist()
    with pytest.raises(ValueError, match="2 segments"):
        decode_rle(struct.pack("<I", 2) + frame[4:], (64, 48), 3)


@pytest.mark.slow
def test_decoding_for_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """RLE of single samples, the slowest kind."""
    monkeypatch.setattr(separate, "CPU_S", 1)
    side = 3000
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x00\x01" * (side * side)
    made = files.dataset(Rows=side, Columns=side, SamplesPerPixel=1, PhotometricInterpretation="PALETTE COLOR")
    started = time.monotonic()
    with pytest.raises(PhotoTooLarge, match="more than 1 s of a processor"):
        decode(files.written(made, RLELossless, pixels=[frame]))
    assert time.monotonic() - started < 30
