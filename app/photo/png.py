"""A fast PNG writer (ISO 15948).

Pillow tries all five filters on every row. One filter, Up, for all rows and ISA-L's level 1 take a fortieth of the time
of Pillow's default, for a file about a tenth larger.
"""

import itertools
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from isal import isal_zlib

from app.photo.pixels import Pixels

STRIP_BYTES = 2**18
"""Bytes of rows that are filtered and compressed at a time, so that they stay in the processor's cache."""


def encode_png(pixels: Pixels, *, threads: int = 1) -> bytes:
    """A truecolour PNG of uint8 `[height, width, 3]`.

    Each thread compresses a band of rows; a stream that is flushed to a byte boundary may be followed by another
    (RFC 1951).
    """
    height, width, _ = pixels.shape
    samples = pixels.reshape(height, width * 3)
    edges = np.linspace(0, height, min(threads, height) + 1).astype(int).tolist()
    bands = list(itertools.pairwise(edges))
    if len(bands) == 1:
        packed = [_packed(samples, 0, height)]
    else:
        with ThreadPoolExecutor(len(bands)) as pool:
            packed = list(pool.map(lambda band: _packed(samples, *band), bands))
    checksum = 1
    for (top, end), (_, of_band) in zip(bands, packed, strict=True):
        checksum = _adler32_combined(checksum, of_band, (end - top) * (1 + width * 3))
    parts = [b"\x78\x01", *(part for stream, _ in packed for part in stream), struct.pack(">I", checksum)]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), *((b"IDAT", part) for part in parts if part), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        piece
        for name, body in chunks
        for piece in (struct.pack(">I", len(body)), name, body, struct.pack(">I", _crc32(name, body)))
    )


def _packed(samples: Pixels, top: int, end: int) -> tuple[list[bytes], int]:
    """Rows, uint8 `[height, row bytes]` filtered and compressed, without zlib header and checksum; their Adler-32."""
    height, row_bytes = samples.shape
    packer = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)
    packed, checksum = [], 1
    strip = max(1, STRIP_BYTES // (1 + row_bytes))
    filtered = np.empty((strip, 1 + row_bytes), np.uint8)
    filtered[:, 0] = 2  # filter type Up
    for first in range(top, end, strip):
        rows = filtered[: min(strip, end - first)]
        last = first + len(rows)
        if first:
            np.subtract(samples[first:last], samples[first - 1 : last - 1], out=rows[:, 1:])
        else:
            rows[0, 1:] = samples[0]
            np.subtract(samples[1:last], samples[: last - 1], out=rows[1:, 1:])
        packed.append(packer.compress(rows.data))
        checksum = isal_zlib.adler32(rows.data, checksum)
    packed.append(packer.flush(isal_zlib.Z_FINISH if end == height else isal_zlib.Z_FULL_FLUSH))
    return packed, checksum


def _adler32_combined(first: int, second: int, size: int) -> int:
    """The Adler-32 (RFC 1950) of two texts in a row, from theirs and the size of the second in bytes."""
    low = (first & 0xFFFF) + (second & 0xFFFF) - 1
    high = (first >> 16) + (second >> 16) + size * ((first & 0xFFFF) - 1)
    return (high % 65521) << 16 | low % 65521


def _crc32(name: bytes, body: bytes) -> int:
    return isal_zlib.crc32(body, isal_zlib.crc32(name))
