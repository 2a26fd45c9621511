"""A worker: the process in which a runtime detects. `app.detector.runtimes.process` starts it and says what passes
between both.

It imports as little as it can, for every worker pays for that again. What LiteRT is to run comes through a file
descriptor, verified, in memory that the workers share: neither the bundle nor what reads and hashes it is needed here.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import math
import mmap
import os
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.detector.detections import Detections
from app.process.memory import keep_freed_blocks, unmap_pages
from app.process.processes import ignore_signals_to_all

DONE, FAILED = b"\0", b"\1"

MODEL = "caries-model"
"""Name of the memory that holds a TFLite model, as /proc/self/maps gives it."""


def send(to: socket.socket, message: bytes) -> None:
    """Sends a message, its length before it.

    Raises:
        OSError: the other side is gone.
    """
    to.sendall(len(message).to_bytes(4, "big") + message)


def receive(by: socket.socket) -> bytes:
    """The next message.

    Raises:
        EOFError: the other side closed the socket or ended.
        OSError: likewise; BlockingIOError where the socket has a time limit that is over.
    """
    return _whole(by, int.from_bytes(_whole(by, 4), "big"))


def _whole(by: socket.socket, size: int) -> bytes:
    data = by.recv(size, socket.MSG_WAITALL)
    if len(data) < size:
        raise EOFError
    return data


def shared(memory: int, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """The memory behind a file descriptor, which may be closed, as an array."""
    return np.frombuffer(mmap.mmap(memory, math.prod(shape)), np.uint8).reshape(shape)


def load(job: dict[str, Any]) -> Any:
    """The runtime of a job.

    Raises:
        RuntimeUnavailable, BundleError: it cannot be loaded.
    """
    if job["model"] is not None:
        from app.detector.runtimes.litert import LiteRTRuntime

        try:
            return LiteRTRuntime(Path(f"/proc/self/fd/{job['model']}"), mapped=True, **job["options"])
        finally:
            os.close(job["model"])
            # LiteRT has packed the weights into memory of its own. What is read again is mapped again.
            unmap_pages(MODEL)
    keep_freed_blocks()
    from app.detector.bundle import read_bundle
    from app.detector.runtimes import load_runtime
    from app.errors import RuntimeUnavailable

    # A worker that takes the place of another starts long after the server verified the files.
    bundle = read_bundle(Path(job["path"]))
    if bundle.sha256 != job["sha256"]:
        raise RuntimeUnavailable(f"{bundle.path} was replaced while it was live; reload to take what it holds")
    return load_runtime(bundle, job["kind"], **job["options"])


def serve(connection: socket.socket, memory: int) -> None:
    """The worker's life: load, then photo after photo until the server closes the socket or ends.

    Args:
        connection: to the server.
        memory: file descriptor of the memory that the photos come in.
    """
    job = json.loads(receive(connection))
    try:
        runtime = load(job)
    except Exception as error:
        send(connection, json.dumps({"error": str(error)}).encode())
        return
    inputs = shared(memory, tuple(job["shape"]))
    detect_alone = getattr(runtime, "detect_alone", runtime.detect)
    loaded = {"name": runtime.name, "device": runtime.device, "batch_size": getattr(runtime, "batch_size", 1)}
    send(connection, json.dumps(loaded).encode())
    while True:
        place, photos, alone = receive(connection)
        try:
            if photos > 1:
                found = runtime.detect_batch(inputs[place : place + photos])
            else:
                found = [(detect_alone if alone else runtime.detect)(inputs[place])]
        except Exception as error:  # one photo's failure must not end the worker
            send(connection, FAILED + f"{type(error).__name__}: {error}".encode())
            continue
        send(connection, DONE + b"".join(map(_packed, found)))


def _packed(found: Detections) -> bytes:
    columns = (found.boxes, found.scores[:, np.newaxis], found.class_ids[:, np.newaxis].astype(np.float32))
    return len(found).to_bytes(4, sys.byteorder) + np.concatenate(columns, axis=1, dtype=np.float32).tobytes()


def main() -> None:
    """Serves on the file descriptors that the command line names: of the socket and of the photos' memory."""
    faulthandler.enable()
    ignore_signals_to_all()  # the server decides when its workers end
    with contextlib.suppress(EOFError, ConnectionError), socket.socket(fileno=int(sys.argv[1])) as connection:
        serve(connection, int(sys.argv[2]))


if __name__ == "__main__":
    main()
