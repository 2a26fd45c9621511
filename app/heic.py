"""HEIC photos, decoded in a process of their own, which may crash, hang or want memory without harm to the server.

libheif knows the sizes of a photo's tiles only by decoding them, so that a small file can keep it busy for very long,
and it is more code than the decoders of the other formats. Its process costs 40 ms, where a phone's photo takes a
second.

    server to decoder    the photo, in memory that both share; then, if its size is accepted, a byte to go on
    decoder to server    JSON, a line each: how many pictures there are and the size of the primary one; then mode, size
                         and bytes of its samples, which are in the memory, its colour profile behind them; or the error
"""

from __future__ import annotations

import contextlib
import json
import logging
import mmap
import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

from PIL import Image

from app.errors import Overloaded, PhotoTooLarge, UnreadablePhoto
from app.processes import how_it_ended, memory, start

logger = logging.getLogger(__name__)

CPU_S = 30
"""Seconds of processor time for a photo. 8 MB of 12 megapixels take 1.6."""

BYTES_PER_PIXEL, MORE_BYTES = 12, 2**28
"""Address space for a photo of the most pixels that are accepted, and for all else: libraries, threads, the file. Of 67
megapixels in four tiles, and 4.5 kB, decoding takes 550 MB in all."""

MAX_LINE = 2**16
"""Bytes of a line from the decoder, which may have fallen to whoever made the photo."""


def read_heic(data: bytes, max_pixels: int, check: Callable[[int, int, int], None]) -> Image.Image:
    """The primary picture, turned as the container says, its colour profile in `info`.

    Args:
        data: the photo.
        max_pixels: that are accepted at most; what the decoder may take of memory follows from it.
        check: called with the number of pictures in the file and width and height of the primary one before a pixel is
            decoded, and again with what came out; raises for what is not accepted.

    Raises:
        PhotoTooLarge: decoding takes more processor time or memory than there is for a photo.
        UnreadablePhoto: the decoder crashed.
        Overloaded: no process can be started.
        Exception: whatever `check` raises; ValueError where the decoder finds the photo damaged.
    """
    with memory("photo") as shared:
        with open(shared, "wb", closefd=False) as file:
            file.write(data)
        limits = (BYTES_PER_PIXEL * max_pixels + MORE_BYTES, CPU_S)
        pipes = {"bufsize": 0, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        try:
            process = start("app.heic_decoder", (shared, *limits), pass_fds=[shared], **pipes)
        except OSError as error:
            raise Overloaded(f"no process can be started to decode the photo ({error.strerror}); try again") from None
        with process:
            try:
                found = _line(process)
                check(found["pictures"], *found["size"])
                assert process.stdin is not None
                with contextlib.suppress(BrokenPipeError):  # it died; what it says next tells
                    process.stdin.write(b"\n")
                decoded = _line(process)
                process.wait()  # then nobody else can change the memory
            finally:
                process.kill()
        check(found["pictures"], *decoded["size"])
        with mmap.mmap(shared, os.fstat(shared).st_size, access=mmap.ACCESS_READ) as mapped:
            mode, size = decoded["mode"], tuple(decoded["size"])
            with memoryview(mapped) as samples:
                image = Image.frombytes(mode, size, samples, "raw", mode, decoded["stride"])
            if profile := mapped[decoded["samples"] :]:
                image.info["icc_profile"] = profile
    return image


def _line(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What the decoder says next."""
    assert process.stdout is not None
    line = process.stdout.readline(MAX_LINE)
    if not line:
        status = process.wait()
        if status in (-signal.SIGXCPU, -signal.SIGKILL):
            raise PhotoTooLarge(f"the photo takes more than {CPU_S} s of a processor to decode; send a smaller one")
        if status == -signal.SIGABRT:  # the C++ library's end where it has no memory for its own error
            raise MemoryError
        logger.warning("the decoder of a HEIC photo died: %s", how_it_ended(status))
        raise UnreadablePhoto("the HEIC photo is damaged: its decoder crashed")
    said: dict[str, Any] = json.loads(line)
    if "error" not in said:
        return said
    # The same kind of error is a limit of libheif's own that is passed.
    if said["error"] == "MemoryError" or said["detail"].startswith("Memory allocation error: Unspecified"):
        raise MemoryError
    raise ValueError(said["detail"])
