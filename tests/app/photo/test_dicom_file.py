"""The structure of DICOM files: sequences, fragments, and bounds on both."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from PIL import Image
from pydicom import Dataset, Sequence
from pydicom.encaps import encapsulate_extended
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

from app.errors import PhotoTooLarge, UnreadablePhoto
from app.photo.dicom_file import MAX_DEPTH, MAX_ELEMENTS, count_frames, read_structure
from tests.app.photo import dicom_files as files
from tests.app.photo.pictures import four_colours, saved

SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
COLUMNS = 0x0028_0011


def nested(depth: int, **attributes: Any) -> Dataset:
    """A data set with sequences inside each other, all of undefined length."""
    made = inner = files.dataset(**attributes)
    for _ in range(depth):
        item = Dataset()
        item.CodeValue = "1"
        inner.ViewCodeSequence = Sequence([item])
        inner["ViewCodeSequence"].is_undefined_length = True
        item.is_undefined_length_sequence_item = True
        inner = item
    return made


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_values_before_and_behind_sequences(syntax: str) -> None:
    file = read_structure(files.written(nested(5), syntax, pixels=bytes(64 * 48 * 3)))
    assert (file.text(0x0010_0020), file.number(COLUMNS), file.transfer_syntax) == ("P-0017", 64, syntax)
    assert file.value(0x0010_4000) == b""
    assert file.number(0x0028_0006, default=7) == 0
    assert file.number(0x0028_1234, default=7) == 7


def test_sequences_inside_each_other_are_bounded() -> None:
    assert read_structure(files.written(nested(MAX_DEPTH))).number(COLUMNS) == 64
    with pytest.raises(PhotoTooLarge, match="more than 16 sequences inside each other"):
        read_structure(files.written(nested(MAX_DEPTH + 1)))


def test_elements_are_bounded() -> None:
    """Those at the top, those in sequences and the fragments of pixels."""
    element = struct.pack("<HH2sH", 9, 0x1001, b"LO", 0)
    head = files.written(files.dataset(), pixels=None)
    with pytest.raises(PhotoTooLarge, match="more than 16384 elements"):
        read_structure(head + element * (MAX_ELEMENTS + 1))
    sequence = struct.pack("<HH2sHI", 9, 0x1001, b"SQ", 0, 2**32 - 1) + struct.pack("<HHI", 0xFFFE, 0xE000, 2**32 - 1)
    with pytest.raises(PhotoTooLarge, match="more than 16384 elements"):
        read_structure(head + sequence + element * (MAX_ELEMENTS + 1))
    with pytest.raises(PhotoTooLarge, match="more than 16384 elements"):
        read_structure(files.written(files.dataset(), JPEGBaseline8Bit, pixels=[b"12"] * (MAX_ELEMENTS + 1)))


def test_sequences_of_private_elements_without_a_representation() -> None:
    """UN of undefined length is written as implicit little endian (PS3.5, 6.2.2)."""
    head = files.written(files.dataset(), pixels=None)
    unknown = struct.pack("<HH2sHI", 0x2009, 0x1001, b"UN", 0, 2**32 - 1)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 2**32 - 1) + struct.pack("<HHI", 9, 0x1001, 2) + b"ab"
    ends = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    last = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 2) + b"xy"
    assert read_structure(head + unknown + item + ends + last).value(0x7FE0_0010) == b"xy"


def test_what_follows_the_pixels_is_not_read() -> None:
    assert read_structure(files.native() + b"\0" * 7).number(COLUMNS) == 64


@pytest.mark.parametrize(
    "tail",
    [
        struct.pack("<HH2sH", 0x2009, 0x1001, b"LO", 9),
        struct.pack("<HH2sH", 0x2009, 0x1001, b"\0\0", 0),
        struct.pack("<HH2sHI", 0x2009, 0x1001, b"SQ", 0, 2**32 - 1),
        struct.pack("<HH2sHI", 0x2009, 0x1001, b"SQ", 0, 2**32 - 1) + struct.pack("<HHI", 9, 9, 0),
        struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 2**32 - 1),
        struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 2**32 - 1) + struct.pack("<HHI", 9, 9, 0),
        struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 2**32 - 1) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0),
        b"\0",
    ],
)
def test_damaged_structures(tail: bytes) -> None:
    with pytest.raises(UnreadablePhoto):
        read_structure(files.written(files.dataset(), pixels=None) + tail)


def fragmented(frames: list[list[bytes]], *, table: bool) -> bytes:
    """A file whose frames have several fragments each."""
    item = lambda data: struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data  # noqa: E731
    offsets, at = [], 0
    for parts in frames:
        offsets.append(at)
        at += sum(8 + len(part) for part in parts)
    first = item(struct.pack(f"<{len(offsets)}I", *offsets) if table else b"")
    body = first + b"".join(item(part) for parts in frames for part in parts)
    made = files.dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.7.4", NumberOfFrames=len(frames))
    head = files.written(made, JPEGBaseline8Bit, pixels=None)
    start = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 2**32 - 1)
    return head + start + body + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def test_frames_of_several_fragments() -> None:
    frames = [[b"ab", b"cd"], [b"ef"], [b"gh", b"ij", b"kl"]]
    file = read_structure(fragmented(frames, table=True))
    assert [file.encapsulated_frame(frame) for frame in (1, 2, 3)] == [b"abcd", b"ef", b"ghijkl"]
    single = read_structure(fragmented(frames[:1], table=False))
    assert single.encapsulated_frame(1) == b"abcd"
    with pytest.raises(UnreadablePhoto, match="6 fragments do not make 3 frames"):
        read_structure(fragmented(frames, table=False)).encapsulated_frame(1)


def test_an_extended_offset_table() -> None:
    frames = [b"ab", b"cdef", b"gh"]
    made = files.dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.7.4", NumberOfFrames=3)
    data, made.ExtendedOffsetTable, made.ExtendedOffsetTableLengths = encapsulate_extended(frames)
    made.PixelData = data
    file = read_structure(files.written(made, JPEGBaseline8Bit, pixels=frames))
    assert [file.encapsulated_frame(frame) for frame in (1, 2, 3)] == frames


def test_frames_are_counted_in_any_bytes() -> None:
    picture = four_colours()
    assert count_frames(files.frames([picture] * 3)) == 3
    assert count_frames(files.native()) == 1
    assert count_frames(saved(Image.fromarray(picture), "PNG")) == 1
    assert count_frames(files.native()[:300]) == 1
    assert count_frames(b"") == 1
