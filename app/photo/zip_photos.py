"""The photos of a zip archive that is held in memory, each unpacked when it is asked for (PKWARE's APPNOTE.TXT 6.3.10).

Whatever an archive says of itself is its sender's claim: members may not overlap, and unpacking ends at a limit
whatever size was announced. Names decide only which members are skipped; nothing is written and no name is given away.

`zipfile` reads the whole directory first, and a few megabytes can list a million members.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise

from app.errors import BadArchive, BatchTooLarge, PhotoTooLarge, UnreadablePhoto, UnsupportedPhoto

SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
"""What an archive begins with; the second is that of an empty one."""

HIGHEST_RATIO = 100
"""A member that unpacks to more than so many times its size is a bomb. Photos are packed already and have about 1."""

BELOW_RATIO = 2**20
"""Bytes that a member may unpack to at any ratio: a small picture of one colour is none."""

ENTRIES_A_PHOTO, MORE_ENTRIES = 4, 64
"""Entries that an archive may list for each photo allowed, and beside them: folders, and what systems put in unseen."""

SKIPPED = (b"__macosx", b"thumbs.db", b"desktop.ini")
"""Names, beside those that begin with a dot, of what macOS and Windows put in unseen."""

_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 2**16 - 1
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_STORED, _DEFLATED = 0, 8


@dataclass(frozen=True, slots=True)
class Member:
    """A photo of an archive.

    Attributes:
        packed: its bytes in the archive.
        flags, method, crc, size: as the archive's directory says.
    """

    packed: memoryview
    flags: int
    method: int
    crc: int
    size: int

    def read(self, max_bytes: int) -> bytes:
        """The photo.

        Args:
            max_bytes: where unpacking ends.

        Raises:
            UnsupportedPhoto: it is encrypted, or packed by an unknown method.
            PhotoTooLarge: it unpacks to more than `max_bytes`, or to suspiciously much.
            UnreadablePhoto: it is damaged.
        """
        if self.flags & _ENCRYPTED:
            raise UnsupportedPhoto("the photo is encrypted in its zip archive; send an archive without a password")
        if self.method not in (_STORED, _DEFLATED):
            raise UnsupportedPhoto(
                f"the photo is packed by the zip method {self.method}; stored and deflated ones are accepted"
            )
        data = bytes(self.packed[: max_bytes + 1]) if self.method == _STORED else self._inflate(max_bytes)
        if len(data) > max_bytes:
            raise PhotoTooLarge(f"the photo unpacks to more than {max_bytes} bytes, the most that is accepted")
        if len(data) != self.size or zlib.crc32(data) != self.crc:
            raise UnreadablePhoto("the photo is damaged in its zip archive: its checksum does not fit")
        return data

    def _inflate(self, max_bytes: int) -> bytes:
        bomb = max(BELOW_RATIO, HIGHEST_RATIO * len(self.packed))
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = unpacker.decompress(self.packed, min(max_bytes, bomb) + 1)
        except zlib.error:
            raise UnreadablePhoto("the photo is damaged in its zip archive and cannot be unpacked") from None
        if len(data) > bomb:
            raise PhotoTooLarge(f"the photo unpacks to more than {HIGHEST_RATIO} times its size in the zip archive")
        if len(data) <= max_bytes and not unpacker.eof:
            raise UnreadablePhoto("the photo is incomplete in its zip archive")
        return data


def list_photos(archive: bytes | bytearray, *, most: int) -> list[Member]:
    """The archive's members in the order of its directory, without folders and what begins with a dot.

    Args:
        archive: the whole of it; the members look into it and do not copy.
        most: how many may be in it.

    Raises:
        BadArchive: it is damaged, split, of the kind zip64, holds no photo, or its members overlap.
        BatchTooLarge: it holds more than `most`.
    """
    start, end = _directory(archive)
    view = memoryview(archive)
    members: list[Member] = []
    places: list[tuple[int, int]] = []
    entries, at = 0, start
    while at < end:
        entries += 1
        if entries > ENTRIES_A_PHOTO * most + MORE_ENTRIES:
            raise BatchTooLarge(
                f"the zip archive lists more than {entries - 1} entries; at most {most} photos belong in"
            )
        if at + _ENTRY.size > end:
            raise _damaged()
        signature, _, _, flags, method, _, _, crc, packed, size, name, extra, comment, _, _, _, place = (
            _ENTRY.unpack_from(archive, at)
        )
        at += _ENTRY.size
        if signature != b"PK\x01\x02" or at + name + extra + comment > end:
            raise _damaged()
        if not _is_skipped(bytes(view[at : at + name])):
            if len(members) == most:
                raise BatchTooLarge(f"the zip archive holds more than {most} photos; send several archives")
            if 2**32 - 1 in (packed, size, place):
                raise _zip64()
            begin = _data(archive, place, start)
            if begin + packed > start:
                raise _damaged()
            members.append(Member(view[begin : begin + packed], flags, method, crc, size))
            places.append((place, begin + packed))
        at += name + extra + comment
    if not members:
        raise BadArchive("the zip archive holds no photos")
    places.sort()
    if any(first[1] > second[0] for first, second in pairwise(places)):
        raise BadArchive("members of the zip archive overlap, as in no archive of photos")
    return members


def _directory(archive: bytes | bytearray) -> tuple[int, int]:
    """Where the directory begins and ends."""
    last = len(archive)
    while (at := archive.rfind(b"PK\x05\x06", max(0, len(archive) - _END.size - _LONGEST_COMMENT), last)) >= 0:
        if at + _END.size <= len(archive):
            _, disk, first_disk, here, entries, size, start, comment = _END.unpack_from(archive, at)
            if at + _END.size + comment == len(archive):
                if 2**16 - 1 in (disk, here, entries) or 2**32 - 1 in (size, start):
                    raise _zip64()
                if disk or first_disk or here != entries:
                    raise BadArchive("the zip archive is one part of several; send it whole")
                if start + size != at:
                    raise _damaged()
                return start, at
        last = at + 3
    raise _damaged()


def _data(archive: bytes | bytearray, place: int, end: int) -> int:
    """Where the bytes of the member at `place` begin."""
    if place + _LOCAL.size > end:
        raise _damaged()
    signature, *_, name, extra = _LOCAL.unpack_from(archive, place)
    if signature != b"PK\x03\x04":
        raise _damaged()
    return place + _LOCAL.size + int(name) + int(extra)


def _is_skipped(name: bytes) -> bool:
    """Whether it is a folder, or hidden; `..` is neither, and as harmless as any name."""
    *folders, file = name.lower().replace(b"\\", b"/").split(b"/")
    return not file or any(
        part in SKIPPED or (part.startswith(b".") and part not in (b".", b"..")) for part in (*folders, file)
    )


def _damaged() -> BadArchive:
    return BadArchive("the zip archive is damaged or incomplete")


def _zip64() -> BadArchive:
    return BadArchive("the zip archive is of the kind zip64, which is not read; write it without that extension")
