"""What the server and a worker process send each other.

Photos are resized by the server and written to shared memory; only short messages and detections pass through a socket.
A photo of 640x480 takes under 1 ms longer than in a thread of the server (`benchmarks/isolation.py`).

    server to worker    first JSON: what to run and how, with TFLite models as file descriptors, preceded by the same
                        with `time` if the worker is to time them; then three bytes per call: the first slot of the
                        shared memory, how many slots, whether the call may use all cores
    worker to server    first JSON: the times, if it was to measure them; the attributes of the `Runtime`; or an error.
                        Then per call one byte, DONE or FAILED, and for each photo the number n of its boxes as uint32
                        and float32 `[n, 6]`, or the text of the error
"""

import math
import mmap
import socket
import sys

import numpy as np
import numpy.typing as npt

from app.detector.detections import Detections

DONE, FAILED = b"\0", b"\1"

MODEL = "caries-model"
"""Name of the memory that contains a TFLite model, as in /proc/self/maps."""


def send(to: socket.socket, message: bytes) -> None:
    """Send a message, preceded by its length.

    Raises:
        OSError: the other side is gone.
    """
    to.sendall(len(message).to_bytes(4, "big") + message)


def receive(source: socket.socket) -> bytes:
    """The next message.

    Raises:
        EOFError: the other side closed the socket or ended.
        OSError: likewise; BlockingIOError if the socket's time limit has passed.
    """
    return _receive_exactly(source, int.from_bytes(_receive_exactly(source, 4), "big"))


def _receive_exactly(source: socket.socket, size: int) -> bytes:
    data = source.recv(size, socket.MSG_WAITALL)
    if len(data) < size:
        raise EOFError
    return data


def shared_array(memory: int, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """The memory of a file descriptor as an array; the descriptor may be closed afterwards."""
    return np.frombuffer(mmap.mmap(memory, math.prod(shape)), np.uint8).reshape(shape)


def pack(found: Detections) -> bytes:
    """Detections as bytes."""
    columns = (found.boxes, found.scores[:, np.newaxis], found.class_ids[:, np.newaxis].astype(np.float32))
    return len(found).to_bytes(4, sys.byteorder) + np.concatenate(columns, axis=1, dtype=np.float32).tobytes()


def unpack(data: bytes, photos: int) -> list[Detections]:
    """The detections of so many photos, packed one after another."""
    found, at = [], 0
    for _ in range(photos):
        count = int.from_bytes(data[at : at + 4], sys.byteorder)
        rows = np.frombuffer(data, np.float32, count * 6, at + 4).reshape(-1, 6)
        found.append(Detections.from_checked(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int32)))
        at += 4 + rows.nbytes
    return found
