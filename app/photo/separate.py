"""Photos decoded in a separate process, which may crash, hang or exceed its memory without harm to the server.

libheif learns the sizes of a photo's tiles only by decoding them, so a small file can keep it busy for minutes, and it
has more code than the decoders of the other formats. The codecs of DICOM files other than JPEG have the same faults or
are in Python. Compared with decoding a phone's photo, the process is cheap.

    server to decoder    the photo, in shared memory; then, if its size is accepted, a byte to continue
    decoder to server    JSON lines: number of pictures and size of the primary one; then mode, size and bytes of its
                         samples, which replace the photo in the memory, its colour profile behind them; or the error

The decoder's output is not trusted: the sender of a photo may have taken the process over.
"""

import contextlib
import json
import logging
import mmap
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from app.errors import DeadlineExceeded, Overloaded, PhotoTooCostly, UnreadablePhoto
from app.process.subprocesses import anonymous_memory, describe_exit, seal, start_module

logger = logging.getLogger(__name__)

CPU_S = 30
"""Seconds of processor time for a photo, several times what the largest accepted one takes."""

HANG_S = 120.0
"""Seconds for a photo in all, in case its decoder hangs without using the processor."""

END_S = 5.0
"""Seconds that a decoder gets to exit after its last line."""

POLL_S = 0.2
"""Seconds between checks whether the photo is still wanted."""

BYTES_PER_PIXEL, EXTRA_BYTES = 12, 96 * 2**20
"""Address space for a photo of the most pixels accepted, and for libraries, threads and the file."""

SAMPLE_BYTES, PROFILE_BYTES = 8, 8 * 2**20
"""The most that the decoder may return: bytes a pixel, and bytes of colour profile."""

MAX_LINE = 4096
"""Bytes of a line from the decoder."""

OUT_OF_MEMORY = (-signal.SIGABRT, 127)
"""Exit statuses of a decoder without memory to report it: abort by the C++ library, or failure of the loader."""

FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
"""Exit statuses when the kernel is short of memory, or when all processes are terminated."""


def read_separately(
    label: str,
    module: str,
    data: bytes,
    max_pixels: int,
    check: Callable[[int, int, int], None],
    wanted: Callable[[], bool],
    arguments: Sequence[object] = (),
    more_bytes: int = 0,
) -> Image.Image:
    """The primary picture, turned as its container says, with its colour profile in `info`.

    Args:
        label: the format's name in sentences.
        module: the decoder.
        max_pixels: the most accepted; the memory limit of the decoder follows from it.
        check: called with the number of pictures and the width and height of the primary one, before a pixel is decoded
            and again for the result; raises an error to refuse them.
        wanted: whether the caller still waits; called several times a second.
        arguments: of the decoder, in addition to the memory and its limits.
        more_bytes: address space for the decoder's libraries besides `EXTRA_BYTES`.

    Raises:
        PhotoTooCostly: decoding takes too long.
        UnreadablePhoto: the decoder crashed.
        Overloaded: no decoder can be started, or it was ended from outside.
        DeadlineExceeded: the photo is not wanted any more.
        MemoryError: decoding takes too much memory.
        Exception: from `check`; of any kind for a damaged photo.
    """
    max_written = max(len(data), SAMPLE_BYTES * max_pixels + PROFILE_BYTES)
    limits = (BYTES_PER_PIXEL * max_pixels + EXTRA_BYTES + more_bytes, CPU_S, max_written)
    with contextlib.ExitStack() as stack:
        try:
            shared = stack.enter_context(anonymous_memory("photo"))
            with open(shared, "wb", closefd=False) as file:
                file.write(data)
            process = stack.enter_context(
                start_module(
                    module,
                    (shared, *limits, *arguments),
                    pass_fds=[shared],
                    bufsize=0,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    process_group=0,  # a terminal's signals are for the server, which first answers accepted photos
                )
            )
        except OSError as error:
            raise Overloaded(f"no process can be started to decode the photo ({error.strerror}); try again") from None
        stack.callback(process.kill)
        end = time.monotonic() + HANG_S
        found = _next(label, process, end, wanted)
        check(found["pictures"], *found["size"])
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died, which the next read reports
            process.stdin.write(b"\n")
        decoded = _next(label, process, end, wanted)
        process.wait(END_S)
        seal(shared)
        check(found["pictures"], *decoded["size"])
        size = os.fstat(shared).st_size
        if size > max_written:
            raise ValueError(f"the decoder returned {size} bytes")
        with mmap.mmap(shared, size, access=mmap.ACCESS_READ) as mapped:
            mode = decoded["mode"]
            with memoryview(mapped) as samples:
                image = Image.frombytes(mode, tuple(decoded["size"]), samples, "raw", mode, decoded["stride"])
            if profile := mapped[decoded["samples"] :]:
                image.info["icc_profile"] = profile
    return image


def _next(label: str, process: subprocess.Popen[bytes], end: float, wanted: Callable[[], bool]) -> dict[str, Any]:
    """The next message of the decoder."""
    line = _line(process, end, wanted)
    if not line:
        raise _ended(label, process.wait(END_S))
    message: dict[str, Any] = json.loads(line)
    if "error" not in message:
        return message
    if message["error"] == "setup":
        logger.error("%s photos cannot be decoded: %s", label, message["detail"])
        raise Overloaded(f"the decoder of {label} photos does not start; the cause is in the server's log")
    # libheif reports its own limits by the same kind of error.
    if message["error"] == "MemoryError" or message["detail"].startswith("Memory allocation error: Unspecified"):
        raise MemoryError
    raise ValueError(message["detail"])


def _line(process: subprocess.Popen[bytes], end: float, wanted: Callable[[], bool]) -> bytes:
    """The next line from a process; empty at the end of its output."""
    assert process.stdout is not None
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    line = b""
    while not line.endswith(b"\n") and len(line) < MAX_LINE:
        if poll.poll(POLL_S * 1000):
            part = os.read(process.stdout.fileno(), MAX_LINE)
            if not part:
                return b""
            line += part
        if not wanted():
            raise DeadlineExceeded("the photo is not wanted any more")
        if time.monotonic() > end:
            raise PhotoTooCostly(f"the photo takes more than {HANG_S:g} s to decode; send a smaller one")
    return line


def _ended(label: str, status: int) -> Exception:
    """The error of a decoder that exited without a message."""
    if status == -signal.SIGXCPU:
        return PhotoTooCostly(f"the photo takes more than {CPU_S} s of a processor to decode; send a smaller one")
    if status in OUT_OF_MEMORY:
        return MemoryError()
    how = describe_exit(status)
    logger.warning("the decoder of a %s photo ended: %s", label, how)
    if status in FROM_OUTSIDE:
        return Overloaded(f"the process that decoded the photo was ended ({how}); try again shortly")
    return UnreadablePhoto(f"the {label} photo is damaged: its decoder crashed")
