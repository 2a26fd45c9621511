"""What becomes of the memory that held photos: it goes back to the system, and never into a file."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import resource
from pathlib import Path

LARGE = 12 * 2**20
"""Bytes from which a block is mapped separately and unmapped when it is freed: half a photo of 12 megapixels."""

KEPT = 16 * 2**20
"""Free bytes that the process keeps for the next photo, which would otherwise fault its pages in again."""

FREE_PAGES_S = 10.0
"""Seconds from one return of free pages to the next; one takes a millisecond or so."""

KEPT_FOR_TENSORFLOW = 2**30
"""Bytes that a worker with TensorFlow keeps; a batch of 32 photos takes less."""

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def keep_out_of_core_dumps() -> None:
    """A crash of this process, or of those that it starts, leaves no image of the memory, and so of photos, on a disk.

    The kernel asks the program that it hands an image to for no limit, but for one of a single byte, which stops it as
    well (core(5), `do_coredump` in fs/coredump.c). A limit of 0 that may not be raised stays.
    """
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))


def return_large_blocks() -> None:
    """Keeps glibc from raising both bounds, to 32 and 64 MiB, after the first large photo (mallopt(3)).

    Otherwise freed photos stay with the process, between smaller blocks: some 250 MB after 100,000 requests of
    `benchmarks.fuzz`. Does nothing where there is no glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE)
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT)


def keep_freed_blocks() -> None:
    """Keeps what is freed for what is allocated next, for a process that allocates the same blocks for each batch.

    TensorFlow takes its tensors from malloc; those of a batch would be mapped, faulted in page by page and given back
    every time. Does nothing where there is no glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, KEPT_FOR_TENSORFLOW)
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT_FOR_TENSORFLOW)
        libc.mallopt(_M_TOP_PAD, KEPT_FOR_TENSORFLOW // 16)


def return_free_pages() -> None:
    """Gives the system what lies free between blocks in use (malloc_trim(3)), which glibc does at a heap's end only.

    Does nothing where there is no glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def unmap_pages(name: str) -> None:
    """Takes the pages of mapped files of this name out of the process; one that is read again comes back.

    For memory that other processes have as well: what is counted and kept for this one alone is less by that.
    """
    libc = ctypes.CDLL(None)
    for line in Path("/proc/self/maps").read_text().splitlines():
        if name in line.partition("/")[2]:
            start, end = (int(address, 16) for address in line.split()[0].split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)
