"""The photos of a zip archive in memory, each unpacked on demand (PKWARE's APPNOTE.TXT 6.3.10).

The archive's claims about itself are not trusted: members may not overlap, and unpacking ends at a limit regardless of
the announced size. Names only decide which members are skipped; they are neither written nor passed on.

`zipfile` would read the entire directory first, and a few megabytes can list a million members.
"""

import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise

from app.errors import BadArchive, BatchTooLarge, PhotoTooLarge, UnreadablePhoto, UnsupportedPhoto

SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
"""The first bytes of an archive, and of an empty one."""

MAX_RATIO = 100
"""A member that unpacks to more than this multiple of its size is a bomb. Photos are compressed already: about 1."""

MIN_BOMB_BYTES = 2**20
"""Up to this many bytes a member may have any ratio, such as a small picture of one colour."""

ENTRIES_PER_PHOTO, EXTRA_ENTRIES = 4, 64
"""Entries that an archive may list for each allowed photo, and in addition: folders, and files that systems add."""

SKIPPED = (b"__macosx", b"thumbs.db", b"desktop.ini")
"""Names that macOS and Windows add, besides those that begin with a dot."""

_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MAX_COMMENT = 2**16 - 1
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_STORED, _DEFLATED = 0, 8


@dataclass(frozen=True, slots=True)
class Member:
    """A photo of an archive.

    Attributes:
        packed: its bytes in the archive.
        flags, method, crc, size: as stated in the archive's directory.
    """

    packed: memoryview
    flags: int
    method: int
    crc: int
    size: int

    def read(self, max_bytes: int) -> bytes:
        """The photo; unpacking stops at `max_bytes`.

        Raises:
            UnsupportedPhoto: it is encrypted, or compressed by an unknown method.
            PhotoTooLarge: it unpacks to more than `max_bytes`, or is a bomb.
            UnreadablePhoto: it is damaged.
        """
        if self.flags & _ENCRYPTED:
            raise UnsupportedPhoto("the photo is encrypted in its zip archive; send an archive without a password")
        if self.method not in (_STORED, _DEFLATED):
            raise UnsupportedPhoto(
                f"the photo is compressed by zip method {self.method}; stored and deflated ones are accepted"
            )
        data = bytes(self.packed[: max_bytes + 1]) if self.method == _STORED else self._inflate(max_bytes)
        if len(data) > max_bytes:
            raise PhotoTooLarge(f"the photo unpacks to more than {max_bytes} bytes, the most that is accepted")
        if len(data) != self.size or zlib.crc32(data) != self.crc:
            raise UnreadablePhoto("the photo is damaged in its zip archive: its checksum does not match")
        return data

    def head(self, length: int) -> bytes:
        """The first bytes of the photo; empty if it cannot be unpacked."""
        if self.flags & _ENCRYPTED or self.method not in (_STORED, _DEFLATED):
            return b""
        if self.method == _STORED:
            return bytes(self.packed[:length])
        try:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(self.packed, length)
        except zlib.error:
            return b""

    def _inflate(self, max_bytes: int) -> bytes:
        bomb = max(MIN_BOMB_BYTES, MAX_RATIO * len(self.packed))
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = unpacker.decompress(self.packed, min(max_bytes, bomb) + 1)
        except zlib.error:
            raise UnreadablePhoto("the photo is damaged in its zip archive and cannot be unpacked") from None
        if len(data) > bomb:
            raise PhotoTooLarge(f"the photo unpacks to more than {MAX_RATIO} times its size in the zip archive")
        if len(data) <= max_bytes and not unpacker.eof:
            raise UnreadablePhoto("the photo is incomplete in its zip archive")
        return data


def list_photos(archive: bytes | bytearray, *, max_photos: int) -> list[Member]:
    """The members in the order of the directory, without folders and hidden files; they refer to the archive's bytes.

    Raises:
        BadArchive: it is damaged, split, zip64 or without photos, or its members overlap.
        BatchTooLarge: it contains more than `max_photos`.
    """
    start, end = _directory(archive)
    view = memoryview(archive)
    members: list[Member] = []
    places: list[tuple[int, int]] = []
    entries, at = 0, start
    while at < end:
        entries += 1
        if entries > ENTRIES_PER_PHOTO * max_photos + EXTRA_ENTRIES:
            raise BatchTooLarge(
                f"the zip archive lists more than {entries - 1} entries; at most {max_photos} photos are accepted"
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
            if len(members) == max_photos:
                raise BatchTooLarge(f"the zip archive contains more than {max_photos} photos; send several archives")
            if 2**32 - 1 in (packed, size, place):
                raise _zip64()
            begin = _data(archive, place, start)
            if begin + packed > start:
                raise _damaged()
            members.append(Member(view[begin : begin + packed], flags, method, crc, size))
            places.append((place, begin + packed))
        at += name + extra + comment
    if not members:
        raise BadArchive("the zip archive contains no photos")
    places.sort()
    if any(first[1] > second[0] for first, second in pairwise(places)):
        raise BadArchive("members of the zip archive overlap")
    return members


def _directory(archive: bytes | bytearray) -> tuple[int, int]:
    """Start and end of the directory, byte offsets."""
    last = len(archive)
    while (at := archive.rfind(b"PK\x05\x06", max(0, len(archive) - _END.size - _MAX_COMMENT), last)) >= 0:
        if at + _END.size <= len(archive):
            _, disk, first_disk, here, entries, size, start, comment = _END.unpack_from(archive, at)
            if at + _END.size + comment == len(archive):
                if 2**16 - 1 in (disk, here, entries) or 2**32 - 1 in (size, start):
                    raise _zip64()
                if disk or first_disk or here != entries:
                    raise BadArchive("the zip archive is one part of several; send it in one piece")
                if start + size != at:
                    raise _damaged()
                return start, at
        last = at + 3
    raise _damaged()


def _data(archive: bytes | bytearray, place: int, end: int) -> int:
    """Offset of the bytes of the member at `place`."""
    if place + _LOCAL.size > end:
        raise _damaged()
    signature, *_, name, extra = _LOCAL.unpack_from(archive, place)
    if signature != b"PK\x03\x04":
        raise _damaged()
    return place + _LOCAL.size + int(name) + int(extra)


def _is_skipped(name: bytes) -> bool:
    """Whether it is a folder or hidden; `..` is neither, and harmless since no name is used as a path."""
    *folders, file = name.lower().replace(b"\\", b"/").split(b"/")
    return not file or any(
        part in SKIPPED or (part.startswith(b".") and part not in (b".", b"..")) for part in (*folders, file)
    )


def _damaged() -> BadArchive:
    return BadArchive("the zip archive is damaged or incomplete")


def _zip64() -> BadArchive:
    return BadArchive("zip64 archives are not supported; write the archive without that extension")
