"""HEIC photos, decoded in a process of their own, which may crash, hang or want memory without harm to the server.

libheif knows the sizes of a photo's tiles only by decoding them, so that a small file can keep it busy for very long,
and it is more code than the decoders of the other formats. To start its process costs little beside a phone's photo.

    server to decoder    the photo, in memory that both share; then, if its size is accepted, a byte to go on
    decoder to server    JSON, a line each: how many pictures there are and the size of the primary one; then mode, size
                         and bytes of its samples, which are in the memory, its colour profile behind them; or the error

What the decoder says may come from whoever made the photo.
"""

from __future__ import annotations

import contextlib
import json
import logging
import mmap
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

from PIL import Image

from app.errors import DeadlineExceeded, Overloaded, PhotoTooCostly, UnreadablePhoto
from app.process.subprocesses import anonymous_memory, describe_exit, seal, start_module

logger = logging.getLogger(__name__)

CPU_S = 30
"""Seconds of processor time for a photo, several times what one of the largest size takes."""

HANG_S = 120.0
"""Seconds for a photo in all, should its decoder not even take processor time."""

END_S = 5.0
"""Seconds that a decoder gets to end once it has said all."""

LOOK_S = 0.2
"""Seconds between looks at whether the photo is still wanted."""

BYTES_PER_PIXEL, MORE_BYTES = 12, 96 * 2**20
"""Address space for a photo of the most pixels that are accepted, and for all else: libraries, threads, the file."""

SAMPLE_BYTES, PROFILE_BYTES = 8, 8 * 2**20
"""What the decoder may hand over: bytes a pixel, and the colour profile's."""

MAX_LINE = 4096
"""Bytes of a line from the decoder."""

OUT_OF_MEMORY = (-signal.SIGABRT, 127)
"""How a decoder ends that has no memory to say so: the C++ library's end, and the loader's."""

FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
"""How it ends when the kernel is short of memory, or when all processes are told to end."""


def read_heic(
    data: bytes, max_pixels: int, check: Callable[[int, int, int], None], wanted: Callable[[], bool]
) -> Image.Image:
    """The primary picture, turned as the container says, its colour profile in `info`.

    Args:
        data: the photo.
        max_pixels: that are accepted at most; what the decoder may take of memory follows from it.
        check: called with the number of pictures in the file and width and height of the primary one before a pixel is
            decoded, and again with what came out; raises for what is not accepted.
        wanted: whether anybody still waits for the photo; asked several times a second.

    Raises:
        PhotoTooCostly: decoding takes more time than there is for a photo.
        UnreadablePhoto: the decoder crashed.
        Overloaded: no decoder can be started, or it was ended from outside.
        DeadlineExceeded: the photo is not wanted any more.
        MemoryError: decoding takes more memory than there is for a photo.
        Exception: whatever `check` raises; of no certain kind where the decoder finds the photo damaged.
    """
    most_written = max(len(data), SAMPLE_BYTES * max_pixels + PROFILE_BYTES)
    limits = (BYTES_PER_PIXEL * max_pixels + MORE_BYTES, CPU_S, most_written)
    with contextlib.ExitStack() as stack:
        try:
            shared = stack.enter_context(anonymous_memory("photo"))
            with open(shared, "wb", closefd=False) as file:
                file.write(data)
            process = stack.enter_context(
                start_module(
                    "app.photo.heic_decoder",
                    (shared, *limits),
                    pass_fds=[shared],
                    bufsize=0,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    process_group=0,  # a terminal's signals are the server's, which may be answering photos to its end
                )
            )
        except OSError as error:
            raise Overloaded(f"no process can be started to decode the photo ({error.strerror}); try again") from None
        stack.callback(process.kill)
        late_at = time.monotonic() + HANG_S
        found = _next(process, late_at, wanted)
        check(found["pictures"], *found["size"])
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died; what it says next tells
            process.stdin.write(b"\n")
        decoded = _next(process, late_at, wanted)
        process.wait(END_S)
        seal(shared)
        check(found["pictures"], *decoded["size"])
        size = os.fstat(shared).st_size
        if size > most_written:
            raise ValueError(f"the decoder handed over {size} bytes")
        with mmap.mmap(shared, size, access=mmap.ACCESS_READ) as mapped:
            mode = decoded["mode"]
            with memoryview(mapped) as samples:
                image = Image.frombytes(mode, tuple(decoded["size"]), samples, "raw", mode, decoded["stride"])
            if profile := mapped[decoded["samples"] :]:
                image.info["icc_profile"] = profile
    return image


def _next(process: subprocess.Popen[bytes], late_at: float, wanted: Callable[[], bool]) -> dict[str, Any]:
    """What the decoder says next."""
    line = _line(process, late_at, wanted)
    if not line:
        raise _ended(process.wait(END_S))
    said: dict[str, Any] = json.loads(line)
    if "error" not in said:
        return said
    if said["error"] == "setup":
        logger.error("HEIC photos cannot be decoded: %s", said["detail"])
        raise Overloaded("the decoder of HEIC photos does not start; the cause is in the server's log")
    # The same kind of error is a limit of libheif's own that is passed.
    if said["error"] == "MemoryError" or said["detail"].startswith("Memory allocation error: Unspecified"):
        raise MemoryError
    raise ValueError(said["detail"])


def _line(process: subprocess.Popen[bytes], late_at: float, wanted: Callable[[], bool]) -> bytes:
    """The next line from a process; empty if it said no more."""
    assert process.stdout is not None
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    line = b""
    while not line.endswith(b"\n") and len(line) < MAX_LINE:
        if poll.poll(LOOK_S * 1000):
            part = os.read(process.stdout.fileno(), MAX_LINE)
            if not part:
                return b""
            line += part
        if not wanted():
            raise DeadlineExceeded("nobody waits for the photo any more")
        if time.monotonic() > late_at:
            raise PhotoTooCostly(f"the photo takes more than {HANG_S:g} s to decode; send a smaller one")
    return line


def _ended(status: int) -> Exception:
    """The error of a decoder that ended without a word."""
    if status == -signal.SIGXCPU:
        return PhotoTooCostly(f"the photo takes more than {CPU_S} s of a processor to decode; send a smaller one")
    if status in OUT_OF_MEMORY:
        return MemoryError()
    how = describe_exit(status)
    logger.warning("the decoder of a HEIC photo ended: %s", how)
    if status in FROM_OUTSIDE:
        return Overloaded(f"the process that decoded the photo was ended ({how}); try again shortly")
    return UnreadablePhoto("the HEIC photo is damaged: its decoder crashed")
