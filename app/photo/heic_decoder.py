"""The process that decodes one HEIC photo; `app.photo.heic` starts it and describes the protocol.

It imports as little as possible, since it does so for every photo.
"""

import contextlib
import json
import os
import resource
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from app.process.memory import keep_out_of_core_dumps, share_one_heap
from app.process.subprocesses import ignore_shutdown_signals

THREADS = 2
"""Threads that decode the tiles of one photo."""


def say(message: dict[str, Any]) -> None:
    """Send a line of JSON to the server."""
    print(json.dumps(message), flush=True)


def set_up(max_bytes: int, cpu_s: int, max_written: int) -> ModuleType:
    """Set the limits of this process, and return libheif.

    Raises:
        ImportError, OSError, ValueError: that is not possible on this machine.
    """
    keep_out_of_core_dumps()
    with contextlib.suppress(OSError):
        # If the kernel is short of memory, it should end this process, not the server.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    share_one_heap()
    limit(resource.RLIMIT_AS, max_bytes)
    limit(resource.RLIMIT_CPU, cpu_s)
    limit(resource.RLIMIT_FSIZE, max_written)
    import _pi_heif  # type: ignore[import-not-found]

    heif: ModuleType = _pi_heif
    return heif


def limit(resource_id: int, maximum: int) -> None:
    """Set a limit that this process cannot raise again; a lower one stays."""
    # If soft and hard limit were equal, SIGKILL would end the process for its time instead of SIGXCPU.
    wanted, current = (maximum, maximum + 1), resource.getrlimit(resource_id)
    lower = [
        one if other == resource.RLIM_INFINITY else min(one, other) for one, other in zip(wanted, current, strict=True)
    ]
    resource.setrlimit(resource_id, (lower[0], lower[1]))


def decode(memory: int, heif: ModuleType) -> None:
    """Replace the photo in the memory by its samples and its colour profile.

    Bypasses `pi_heif.open_heif`, which reads the metadata of every picture: in version 1.4.0 a metadata item whose type
    is not UTF-8 causes a segmentation fault. None of that metadata is needed.
    """
    data = os.pread(memory, os.fstat(memory).st_size, 0)
    pictures = [one for one in heif.load_file(data, THREADS, True, False, True, True, "", False) if one is not None]
    primary = next((picture for picture in pictures if picture.primary), pictures[0])
    size, _ = primary.size_mode
    say({"pictures": len(pictures), "size": size})
    if not sys.stdin.read(1):  # the server refuses it
        return
    samples = primary.data
    size, mode = primary.size_mode
    profile = primary.color_profile
    icc = profile["data"] if profile and profile["type"] in ("rICC", "prof") else b""
    os.ftruncate(memory, 0)
    with open(memory, "wb", buffering=0, closefd=False) as file:
        file.seek(0)
        for part in (samples, icc):
            left = memoryview(part)
            while left:
                left = left[file.write(left) :]
    say({"mode": mode, "size": size, "stride": primary.stride, "samples": len(samples)})


def main() -> None:
    """Decode. Arguments: file descriptor of the memory, bytes of address space, processor seconds, bytes to write."""
    ignore_shutdown_signals()
    memory, *limits = map(int, sys.argv[1:])
    try:
        heif = set_up(*limits)
    except Exception as error:
        say({"error": "setup", "detail": f"{type(error).__name__}: {error}"[:1000]})
        return
    try:
        decode(memory, heif)
    except Exception as error:
        say({"error": type(error).__name__, "detail": str(error)[:1000]})


if __name__ == "__main__":
    main()
