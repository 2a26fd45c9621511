"""The structure of a DICOM file (PS3.5 and PS3.10 of the standard), read under limits: its values and its frames.

Only values are looked up that choose and place the pixels. pydicom would keep every element of a hostile file, some
hundred bytes of memory for eight of the file, before any limit could be checked; it also takes half a second to import.
"""

from dataclasses import dataclass, field

from app.errors import PhotoTooLarge, UnreadablePhoto, UnsupportedPhoto

MAX_ELEMENTS = 2**14
"""Elements, items and fragments of a file. A photo with its patient and study has about 100."""

MAX_DEPTH = 16
"""Sequences inside each other; the standard's own objects have up to 6."""

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

PREAMBLE = 132
"""Bytes in front of the first element: 128 of any content and `DICM`."""

TRANSFER_SYNTAX = 0x0002_0010
NUMBER_OF_FRAMES = 0x0028_0008
EXTENDED_OFFSETS, PIXEL_DATA = 0x7FE0_0001, 0x7FE0_0010
ITEM, ITEM_END, SEQUENCE_END = 0xFFFE_E000, 0xFFFE_E00D, 0xFFFE_E0DD

_UNDEFINED = 2**32 - 1
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
"""Value representations with a length of 4 bytes behind 2 reserved ones (PS3.5, table 7.1-1)."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How elements are written."""

    explicit: bool
    little: bool

    def number(self, data: bytes) -> int:
        """An unsigned number."""
        return int.from_bytes(data, "little" if self.little else "big")


META = Encoding(explicit=True, little=True)
"""Of the elements of group 2 in every file."""


@dataclass(slots=True)
class DicomFile:
    """The elements of a file that are not in sequences.

    Attributes:
        data: of the file.
        encoding: of all elements but those of group 2.
        transfer_syntax: UID.
        values: offset and length of each value by tag, without those of undefined length.
        sequences: offsets of and behind each sequence by tag; of all elements in a file without representations.
        representations: the value representation by tag; empty in a file that does not give them.
        fragments: offset and length of each part of encapsulated pixels, the offset table first; empty if the pixels
            are native.
        elements: read so far, see `MAX_ELEMENTS`.
    """

    data: bytes
    encoding: Encoding = META
    transfer_syntax: str = ""
    values: dict[int, tuple[int, int]] = field(default_factory=dict)
    sequences: dict[int, tuple[int, int]] = field(default_factory=dict)
    representations: dict[int, bytes] = field(default_factory=dict)
    fragments: list[tuple[int, int]] = field(default_factory=list)
    elements: int = 0

    def value(self, tag: int) -> bytes:
        """The bytes of a value; empty if the file does not have it."""
        at, length = self.values.get(tag, (0, 0))
        return self.data[at : at + length]

    def text(self, tag: int) -> str:
        """A value that is ASCII, such as a UID or a code string."""
        return self.value(tag).decode("ascii", "replace").strip(" \0")

    def number(self, tag: int, default: int = 0) -> int:
        """A value of 2 bytes."""
        value = self.value(tag)[:2]
        return self.encoding.number(value) if len(value) == 2 else default

    @property
    def frames(self) -> int:
        """Frames as stated.

        Raises:
            UnreadablePhoto: that is no positive number.
        """
        text = self.text(NUMBER_OF_FRAMES) or "1"
        if not text.isdecimal() or len(text) > 9 or int(text) < 1:
            raise UnreadablePhoto("the DICOM file's number of frames is not a positive whole number")
        return int(text)

    def encapsulated_frame(self, frame: int) -> bytes:
        """The codestream of a frame, counted from 1 (PS3.5, A.4).

        Raises:
            UnreadablePhoto: its fragments cannot be found.
        """
        (table_at, table_length), *fragments = self.fragments
        frames = self.frames
        table = self.data[table_at : table_at + table_length]
        offsets = [int.from_bytes(table[at : at + 4], "little") for at in range(0, table_length - 3, 4)]
        if extended := self.value(EXTENDED_OFFSETS):
            offsets = [int.from_bytes(extended[at : at + 8], "little") for at in range(0, len(extended) - 7, 8)]
        if frames == 1:
            chosen = fragments
        elif len(fragments) == frames:
            chosen = fragments[frame - 1 : frame]
        elif len(offsets) == frames:
            first = table_at + table_length
            start = first + offsets[frame - 1]
            end = first + offsets[frame] if frame < frames else len(self.data)
            chosen = [(at, length) for at, length in fragments if start <= at - 8 < end]
        else:
            chosen = []
        if not chosen:
            raise UnreadablePhoto(f"the DICOM file's {len(fragments)} fragments do not make {frames} frames")
        return b"".join(self.data[at : at + length] for at, length in chosen)

    def count(self) -> None:
        """Raise PhotoTooLarge after `MAX_ELEMENTS` calls."""
        self.elements += 1
        if self.elements > MAX_ELEMENTS:
            raise PhotoTooLarge(f"the DICOM file has more than {MAX_ELEMENTS} elements, the most that are accepted")

    def header(self, at: int, encoding: Encoding) -> tuple[int, bytes, int, int]:
        """Tag, value representation, length and offset of the value of the element at an offset.

        Raises:
            UnreadablePhoto: the file ends before or inside it.
        """
        self.count()
        data = self.data
        if at + 8 > len(data):
            raise _incomplete()
        tag = encoding.number(data[at : at + 2]) << 16 | encoding.number(data[at + 2 : at + 4])
        kind, size = b"", data[at + 4 : at + 8]
        start = at + 8
        if encoding.explicit and tag >> 16 != 0xFFFE:
            kind = data[at + 4 : at + 6]
            if kind in _LONG:
                size, start = data[at + 8 : at + 12], at + 12
            else:
                size = data[at + 6 : at + 8]
            if not (kind.isalpha() and kind.isupper()):
                raise UnreadablePhoto("the DICOM file is damaged: an element has no value representation")
        length = encoding.number(size)
        if start > len(data) or (length != _UNDEFINED and start + length > len(data)):
            raise _incomplete()
        return tag, kind, length, start


def read_structure(data: bytes) -> DicomFile:
    """The structure of a file up to its pixels; what follows them is not read.

    Raises:
        UnreadablePhoto: it is damaged or incomplete.
        UnsupportedPhoto: it is deflated.
        PhotoTooLarge: it has too many elements, or too many sequences inside each other.
    """
    file, at = DicomFile(data), PREAMBLE
    while data[at : at + 2] == b"\x02\0":
        tag, _, length, start = file.header(at, META)
        file.values[tag] = start, length
        at = start + length
    file.transfer_syntax = file.text(TRANSFER_SYNTAX)
    if file.transfer_syntax == DEFLATED:
        raise UnsupportedPhoto("the DICOM file is deflated; send it in another transfer syntax")
    file.encoding = Encoding(file.transfer_syntax != IMPLICIT_LITTLE, file.transfer_syntax != EXPLICIT_BIG)
    while at < len(data):
        begin = at
        tag, kind, length, start = file.header(at, file.encoding)
        if tag == PIXEL_DATA and length == _UNDEFINED:
            _read_fragments(file, start)
            return file
        if length == _UNDEFINED:
            at = _sequence_end(file, start, file.encoding if kind != b"UN" else Encoding(False, True), depth=1)
        else:
            file.values[tag], file.representations[tag] = (start, length), kind
            at = start + length
        if kind in (b"SQ", b"") and tag != PIXEL_DATA:
            file.sequences[tag] = begin, at
        if tag == PIXEL_DATA:
            break
    return file


def count_frames(data: bytes) -> int:
    """Frames of a DICOM file, 1 for every other file and for those that cannot be read."""
    if data[PREAMBLE - 4 : PREAMBLE] != b"DICM":
        return 1
    try:
        return read_structure(data).frames
    except (PhotoTooLarge, UnreadablePhoto, UnsupportedPhoto):
        return 1


def _read_fragments(file: DicomFile, at: int) -> None:
    while True:
        tag, _, length, start = file.header(at, file.encoding)
        if tag == SEQUENCE_END:
            break
        if tag != ITEM or length == _UNDEFINED:
            raise UnreadablePhoto("the DICOM file is damaged: its compressed pixels are not in items")
        file.fragments.append((start, length))
        at = start + length
    if not file.fragments:
        raise UnreadablePhoto("the DICOM file contains no pixels")


def _sequence_end(file: DicomFile, at: int, encoding: Encoding, depth: int) -> int:
    """The offset behind a sequence of undefined length whose first item is at `at`."""
    if depth > MAX_DEPTH:
        raise PhotoTooLarge(f"the DICOM file has more than {MAX_DEPTH} sequences inside each other")
    while True:
        tag, _, length, at = file.header(at, encoding)
        if tag == SEQUENCE_END:
            return at
        if tag != ITEM:
            raise UnreadablePhoto("the DICOM file is damaged: a sequence contains something other than items")
        at = at + length if length != _UNDEFINED else _item_end(file, at, encoding, depth)


def _item_end(file: DicomFile, at: int, encoding: Encoding, depth: int) -> int:
    """The offset behind an item of undefined length whose first element is at `at`."""
    while True:
        tag, kind, length, at = file.header(at, encoding)
        if tag == ITEM_END:
            return at
        if length == _UNDEFINED:
            at = _sequence_end(file, at, encoding if kind != b"UN" else Encoding(False, True), depth + 1)
        else:
            at += length


def _incomplete() -> UnreadablePhoto:
    return UnreadablePhoto("the DICOM file is incomplete: an element is longer than the rest of the file")
