"""Memory that contained photos goes back to the system, and never into a file."""

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
"""Seconds between two returns of free pages; one takes about a millisecond."""

KEPT_FOR_TENSORFLOW = 2**30
"""Bytes that a worker with TensorFlow keeps; more than a batch of 32 photos takes."""

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8


def keep_out_of_core_dumps() -> None:
    """Prevent core dumps of this process and its children, which would write photos to disk.

    A limit of 0 does not stop dumps that are piped to a program, but a limit of 1 byte does (core(5), `do_coredump` in
    fs/coredump.c). A hard limit of 0 stays.
    """
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))


def return_large_blocks() -> None:
    """Keep glibc from raising both bounds, to 32 and 64 MiB, after the first large photo (mallopt(3)).

    Otherwise the process keeps the memory of freed photos: some 250 MB after 100,000 requests of `benchmarks.fuzz`.
    Does nothing without glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE)
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT)


def share_one_heap() -> None:
    """Let all threads allocate from one heap (mallopt(3)), for a process whose address space is limited.

    A heap for each thread reserves 64 MiB of addresses. Does nothing without glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def keep_freed_blocks() -> None:
    """Keep freed memory, for a process that allocates the same blocks for each batch.

    TensorFlow's tensors come from malloc; those of a batch would be mapped, faulted in and unmapped every time. Does
    nothing without glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, KEPT_FOR_TENSORFLOW)
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT_FOR_TENSORFLOW)
        libc.mallopt(_M_TOP_PAD, KEPT_FOR_TENSORFLOW // 16)


def return_free_pages() -> None:
    """Return free pages between used blocks to the system (malloc_trim(3)); glibc does so only at the heap's end.

    Does nothing without glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def unmap_pages(name: str, *, code_only: bool = False) -> None:
    """Drop the pages of mapped files of this name from the process; a page that is read again comes back.

    For memory shared with other processes, which would otherwise count for each of them, and for code that only the
    start needs: of a library only `code_only` may be dropped, since its data has been written.
    """
    libc = ctypes.CDLL(None)
    for line in Path("/proc/self/maps").read_text().splitlines():
        if name in line.partition("/")[2] and (not code_only or line.split()[1] == "r-xp"):
            start, end = (int(address, 16) for address in line.split()[0].split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)
