"""The process in which one HEIC photo is decoded. `app.heic` starts it and says what passes between both.

It imports as little as it can: every such photo pays for it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

from app.processes import ignore_signals_to_all

THREADS = 2
"""Threads that decode the tiles of one photo."""


def say(message: dict[str, Any]) -> None:
    """A line of JSON to the server."""
    print(json.dumps(message), flush=True)


def decode(memory: int) -> None:
    """Decodes the photo in the memory and writes its samples, and its colour profile, in the photo's place.

    Goes below `pi_heif.open_heif`, which reads the metadata of every picture in the file: in version 1.4.0 a metadata
    item whose type is not UTF-8 ends the process with a segmentation fault. None of that metadata is needed.
    """
    import _pi_heif  # type: ignore[import-not-found]

    data = os.pread(memory, os.fstat(memory).st_size, 0)
    pictures = _pi_heif.load_file(data, THREADS, True, False, True, True, "", False)
    pictures = [picture for picture in pictures if picture is not None]
    primary = next((picture for picture in pictures if picture.primary), pictures[0])
    size, _ = primary.size_mode
    say({"pictures": len(pictures), "size": size})
    if not sys.stdin.read(1):  # the server does not want it
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
    """Decodes what the command line names: file descriptor of the memory, bytes of address space, processor seconds."""
    memory, most_bytes, cpu_s = map(int, sys.argv[1:])
    ignore_signals_to_all()
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    try:
        decode(memory)
    except Exception as error:
        say({"error": type(error).__name__, "detail": str(error)})


if __name__ == "__main__":
    main()
