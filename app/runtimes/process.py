"""A runtime in a process of its own, so that a crash in its native code ends one request and not the server.

The photo is resized in the server's process; only the model's input and the detections go through a socket. For a model
of 320x320 that is 307 kB, which takes 0.1 ms. A photo of 640x480 takes about 1 ms longer in all than in a thread of the
server, of 32 ms: another process has to be woken and its caches filled (`benchmarks/isolation.py`).

    server to worker    once: JSON, which bundle and how to run it; then the input's samples for each photo
    worker to server    once: JSON, the runtime's name and device, or why there is none; then for each photo a byte
                        that says whether detection went well, and float32 `[n, 6]` or the text of the error
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app import images
from app.bundle import Bundle, read_bundle
from app.detections import Detections
from app.errors import RuntimeUnavailable, WorkerDied
from app.runtimes import Precision, RuntimeKind, load_runtime

logger = logging.getLogger(__name__)

DONE, FAILED = b"\0", b"\1"
END_S = 5
"""Seconds that a worker gets to end once its socket is closed."""


class DetectionFailed(Exception):
    """The runtime raised an error on a photo; the worker lives on."""


class WorkerProcess:
    """A `Runtime` that passes photos to a worker.

    Attributes:
        name, device: of the worker's runtime.
        pid: of the worker.
    """

    def __init__(
        self, bundle: Bundle, kind: str = RuntimeKind.AUTO, *, precision: str = Precision.FLOAT32, threads: int = 1
    ) -> None:
        """Starts the worker and waits until its runtime is loaded. The arguments are those of `load_runtime`.

        Raises:
            RuntimeUnavailable: the runtime is not installed or cannot run the bundle.
            WorkerDied: the worker ended while it loaded.
        """
        self._height, self._width = bundle.input_height, bundle.input_width
        ours, theirs = socket.socketpair()
        with theirs:
            # Wherever this package was imported from, the worker imports the same one.
            paths = (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", ""))
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "app.runtimes.process", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            )
        self.pid = self._process.pid
        self._socket = Connection(ours.detach())
        job = {
            "path": str(bundle.path),
            "sha256": bundle.sha256,
            "kind": kind,
            "precision": precision,
            "threads": threads,
        }
        try:
            loaded = json.loads(self._ask(json.dumps(job).encode()))
            if "error" in loaded:
                raise RuntimeUnavailable(loaded["error"])
        except BaseException:
            self.close()
            raise
        self.name: str = loaded["name"]
        self.device: str = loaded["device"]

    @property
    def alive(self) -> bool:
        """Whether the worker runs."""
        return self._process.poll() is None

    def detect(self, pixels: npt.NDArray[np.uint8]) -> Detections:
        """See `app.runtimes.Runtime.detect`.

        Raises:
            WorkerDied: the worker ended before its answer.
            DetectionFailed: the runtime raised an error.
        """
        resized = images.resize(pixels, self._height, self._width)
        answer = self._ask(resized.reshape(-1).data)
        if answer[:1] == FAILED:
            raise DetectionFailed(answer[1:].decode())
        rows = np.frombuffer(answer, np.float32, offset=1).reshape(-1, 6)
        return Detections(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int32))

    def close(self) -> None:
        """Ends the worker. May be called twice."""
        self._socket.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, message: bytes | memoryview) -> bytes:
        try:
            self._socket.send_bytes(message)
            return self._socket.recv_bytes()
        except (OSError, EOFError):
            self.close()
            how = _how_it_ended(self._process.returncode)
        logger.error("the detector's process %d died: %s", self.pid, how)
        raise WorkerDied(f"the detector's process died ({how}) and is being replaced; try again shortly") from None


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _serve(connection: Connection) -> None:
    """The worker's life: load, then photo after photo until the server closes the socket or ends."""
    job = json.loads(connection.recv_bytes())
    try:
        # A worker that takes the place of another starts long after the server verified the files.
        bundle = read_bundle(Path(job["path"]))
        if bundle.sha256 != job["sha256"]:
            raise RuntimeUnavailable(f"{bundle.path} was replaced while it was live; reload to take what it holds")
        runtime = load_runtime(bundle, job["kind"], precision=job["precision"], threads=job["threads"])
    except Exception as error:
        connection.send_bytes(json.dumps({"error": str(error)}).encode())
        return
    connection.send_bytes(json.dumps({"name": runtime.name, "device": runtime.device}).encode())
    shape = (bundle.input_height, bundle.input_width, 3)
    while True:
        pixels = np.frombuffer(connection.recv_bytes(), np.uint8).reshape(shape)
        try:
            found = runtime.detect(pixels)
        except Exception as error:  # one photo's failure must not end the worker
            connection.send_bytes(FAILED + f"{type(error).__name__}: {error}".encode())
            continue
        columns = (found.boxes, found.scores[:, np.newaxis], found.class_ids[:, np.newaxis].astype(np.float32))
        connection.send_bytes(DONE + np.concatenate(columns, axis=1, dtype=np.float32).tobytes())


def _main() -> None:
    faulthandler.enable()
    # A terminal and some service managers signal every process; the server decides when its workers end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(EOFError, ConnectionError):
        _serve(Connection(int(sys.argv[1])))


if __name__ == "__main__":
    _main()
