"""Memory of large photos goes back to the system when they are done with."""

from __future__ import annotations

import contextlib
import ctypes

LARGE = 12 * 2**20
"""Bytes of a block from which on it is a mapping of its own, which ends when it is freed: half a photo of 12
megapixels."""

KEPT = 16 * 2**20
"""Bytes that are kept for the next photo instead of being given back; without them, each would fault its pages in
anew."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def return_large_blocks() -> None:
    """Keeps glibc from raising both bounds, to 32 and 64 MiB, after the first large photo (mallopt(3)).

    Otherwise freed photos stay with the process, between smaller blocks: some 250 MB after 100,000 requests of
    `benchmarks.fuzz`. Does nothing where there is no glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE)
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT)
