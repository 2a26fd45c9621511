"""The part that all decoders of `app.photo.separate` share: limits, messages and the way back of the samples.

It imports as little as possible, since it does so for every photo.
"""

import contextlib
import json
import os
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from app.process.memory import keep_out_of_core_dumps, share_one_heap
from app.process.subprocesses import ignore_shutdown_signals

Size = tuple[int, int]
"""Width and height, pixels."""


def say(message: dict[str, Any]) -> None:
    """Send a line of JSON to the server."""
    print(json.dumps(message), flush=True)


def size_is_accepted(pictures: int, size: Size) -> bool:
    """Whether the server accepts a photo of so many pictures, the primary one of this size."""
    say({"pictures": pictures, "size": size})
    return bool(sys.stdin.read(1))


def set_up(max_bytes: int, cpu_s: int, max_written: int) -> None:
    """Set the limits of this process.

    Raises:
        OSError, ValueError: that is not possible on this machine.
    """
    keep_out_of_core_dumps()
    with contextlib.suppress(OSError):
        # If the kernel is short of memory, it should end this process, not the server.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    share_one_heap()
    limit(resource.RLIMIT_AS, max_bytes)
    limit(resource.RLIMIT_CPU, cpu_s)
    limit(resource.RLIMIT_FSIZE, max_written)


def limit(resource_id: int, maximum: int) -> None:
    """Set a limit that this process cannot raise again; a lower one stays."""
    # If soft and hard limit were equal, SIGKILL would end the process for its time instead of SIGXCPU.
    wanted, current = (maximum, maximum + 1), resource.getrlimit(resource_id)
    lower = [
        one if other == resource.RLIM_INFINITY else min(one, other) for one, other in zip(wanted, current, strict=True)
    ]
    resource.setrlimit(resource_id, (lower[0], lower[1]))


def read_photo(memory: int) -> bytes:
    """The photo as the server wrote it."""
    return os.pread(memory, os.fstat(memory).st_size, 0)


def give_back(memory: int, mode: str, size: Size, stride: int, samples: bytes, profile: bytes = b"") -> None:
    """Replace the photo in the memory by its samples and its colour profile.

    Args:
        mode: Pillow's name for the samples.
        stride: bytes from one row to the next; 0 if rows follow each other.
    """
    os.ftruncate(memory, 0)
    with open(memory, "wb", buffering=0, closefd=False) as file:
        file.seek(0)
        for part in (samples, profile):
            left = memoryview(part)
            while left:
                left = left[file.write(left) :]
    say({"mode": mode, "size": size, "stride": stride, "samples": len(samples)})


def run(load: Callable[[], ModuleType], decode: Callable[[int, ModuleType, Sequence[str]], None]) -> None:
    """Decode. Arguments of the command: file descriptor of the memory, bytes of address space, processor seconds, bytes
    to write, and those of the decoder.

    Args:
        load: imports the library.
        decode: called with the memory, the library and the decoder's own arguments.
    """
    ignore_shutdown_signals()
    memory, *limits = map(int, sys.argv[1:5])
    try:
        set_up(*limits)
        library = load()
    except Exception as error:
        say({"error": "setup", "detail": f"{type(error).__name__}: {error}"[:1000]})
        return
    try:
        decode(memory, library, sys.argv[5:])
    except Exception as error:
        say({"error": type(error).__name__, "detail": str(error)[:1000]})
