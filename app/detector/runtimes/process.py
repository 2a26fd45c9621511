"""A runtime in a process of its own, so that a crash in its native code ends one request and not the server.

The photo is resized in the server's process and written into memory that both share; only a word about it and the
detections go through a socket. A photo of 640x480 takes under 1 ms longer in all than in a thread of the server:
another process has to be woken and its caches filled (`benchmarks/isolation.py`).

    server to worker    once: JSON, what to run and how, a TFLite model by a file descriptor; then three bytes for each
                        call: from which place on photos lie in the shared memory, how many, and whether they have the
                        machine to themselves
    worker to server    once: JSON, the runtime's name and device and how many photos it takes at once, or why there is
                        none; then for each call a byte that says whether detection went well, and for each photo the
                        number n of its boxes as uint32 and float32 `[n, 6]`; or the text of the error
"""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import struct
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.detector.bundle import Bundle
from app.detector.detections import Detections
from app.detector.runtimes import Precision, RuntimeKind, fitted, may_be_tensorflow
from app.detector.runtimes.worker import FAILED, MODEL, receive, send, shared
from app.errors import BundleError, RuntimeUnavailable, WorkerDied
from app.process.processes import how_it_ended, memory, seal, start

logger = logging.getLogger(__name__)

AHEAD = 2
"""Calls that may be with a worker of one photo a call: it begins the next without waiting for the server's threads."""

END_S = 5
"""Seconds that a worker gets to end once its socket is closed."""

HANG_S = 120.0
"""Seconds after which a worker that has not answered a photo is ended; more than any first inference on a GPU takes."""


LITERT = ("threads", "alone_threads")
"""The options of `load_runtime` that LiteRT takes."""


class WorkerProcess:
    """A `Runtime` that passes photos to a worker.

    Attributes:
        name, device: of the worker's runtime.
        pid: of the worker.
    """

    def __init__(self, bundle: Bundle, kind: str = RuntimeKind.AUTO, **options: Any) -> None:
        """Starts the worker and waits until its runtime is loaded. The arguments are those of `load_runtime`.

        Raises:
            RuntimeUnavailable: the runtime is not installed or cannot run the bundle, or the bundle's files are no
                longer those that were verified.
            WorkerDied: the worker ended while it loaded.
        """
        places = max(AHEAD, int(options.get("batch_size", 1)))
        shape = (places, bundle.input_height, bundle.input_width, 3)
        job: dict[str, Any] = {"model": None, "path": str(bundle.path), "sha256": bundle.sha256, "kind": kind}
        job |= {"shape": shape, "options": options}
        self._model: _Model | None = None
        if not may_be_tensorflow(bundle, kind):
            self._model = _model(bundle, bundle.tflite(Precision(options.get("precision", Precision.FLOAT32))))
            job |= {"model": self._model.memory}
            job |= {"options": {name: options[name] for name in LITERT if name in options}}
        with memory("photos") as photos:
            os.ftruncate(photos, math.prod(shape))
            self._inputs = shared(photos, shape)
            self._socket, theirs = socket.socketpair()
            with theirs:
                self._process = start(
                    "app.detector.runtimes.worker",
                    (theirs.fileno(), photos),
                    pass_fds=[theirs.fileno(), photos, *([self._model.memory] if self._model else [])],
                    stdin=subprocess.DEVNULL,
                )
        self.pid = self._process.pid
        try:
            loaded = json.loads(self._ask(json.dumps(job).encode()))
            if error := loaded.get("error"):
                raise RuntimeUnavailable(self._model.named(error) if self._model else error)
            self._set_time_limit(HANG_S)
        except BaseException:
            self.close()
            raise
        self.name: str = loaded["name"]
        self.device: str = loaded["device"]
        self.batch_size: int = loaded["batch_size"]
        self._calls = 0

    @property
    def alive(self) -> bool:
        """Whether the worker runs."""
        return self._process.poll() is None

    def detect(self, pixels: npt.NDArray[np.uint8]) -> Detections:
        """See `app.detector.runtimes.Runtime.detect`.

        Raises:
            WorkerDied: the worker ended before its answer, or had to be ended because none came.
            RuntimeError: the runtime raised an error on a photo; the worker lives on.
        """
        return self._detect([pixels])[0]

    def detect_alone(self, pixels: npt.NDArray[np.uint8]) -> Detections:
        """See `app.detector.runtimes.Runtime`; errors as of `detect`."""
        return self._detect([pixels], alone=True)[0]

    def detect_batch(self, photos: Sequence[npt.NDArray[np.uint8]]) -> list[Detections]:
        """See `app.detector.runtimes.Runtime`; errors as of `detect`."""
        return self._detect(photos)

    def begin(self, pixels: npt.NDArray[np.uint8], *, alone: bool = False) -> None:
        """Hands a photo over; `finish` gives its detections. At most `AHEAD` may be begun and not finished.

        Raises:
            WorkerDied: the worker ended.
        """
        self._calls += 1
        self._hand_over([pixels], alone, place=self._calls % AHEAD)

    def finish(self) -> Detections:
        """The detections of the photo that was begun first; errors as of `detect`."""
        return self._answer(1)[0]

    def _detect(self, photos: Sequence[npt.NDArray[np.uint8]], *, alone: bool = False) -> list[Detections]:
        self._hand_over(photos, alone)
        return self._answer(len(photos))

    def _hand_over(self, photos: Sequence[npt.NDArray[np.uint8]], alone: bool, *, place: int = 0) -> None:
        _, height, width, _ = self._inputs.shape
        for pixels, where in zip(photos, self._inputs[place:], strict=False):
            where[...] = fitted(pixels, height, width)
        with self._noticing_death():
            send(self._socket, bytes((place, len(photos), alone)))

    def _answer(self, photos: int) -> list[Detections]:
        with self._noticing_death():
            answer = receive(self._socket)
        if answer[:1] == FAILED:
            raise RuntimeError(answer[1:].decode())
        found, at = [], 1
        for _ in range(photos):
            count = int.from_bytes(answer[at : at + 4], sys.byteorder)
            rows = np.frombuffer(answer, np.float32, count * 6, at + 4).reshape(-1, 6)
            found.append(Detections.from_checked(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int32)))
            at += 4 + rows.nbytes
        return found

    def kill(self) -> None:
        """Ends the process whatever it does; from any thread. Whoever waits for its answer gets WorkerDied."""
        self._process.kill()

    def close(self) -> None:
        """Ends the worker. May be called twice."""
        self._model = None
        self._socket.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _set_time_limit(self, seconds: float) -> None:
        """Lets what waits for the worker's answers fail with BlockingIOError after so long; costs a photo nothing."""
        whole = int(seconds)
        timeval = struct.pack("ll", whole, int((seconds - whole) * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)

    def _ask(self, message: bytes) -> bytes:
        with self._noticing_death():
            send(self._socket, message)
            return receive(self._socket)

    @contextmanager
    def _noticing_death(self) -> Iterator[None]:
        """Turns what the socket of a dead worker raises into WorkerDied."""
        try:
            yield
            return
        except BlockingIOError:
            self._process.kill()
            self.close()
            how = f"no answer within {HANG_S:g} s"
        except (OSError, EOFError):
            self.close()
            how = how_it_ended(self._process.returncode)
        logger.error("the detector's process %d died: %s", self.pid, how)
        raise WorkerDied(f"the detector's process died ({how}) and is being replaced; try again shortly") from None


class _Model:
    """A TFLite file of a bundle in memory that nobody can change any more, for all workers that run it.

    Attributes:
        memory: its file descriptor, until nobody has this object any more.
    """

    def __init__(self, bundle: Bundle, file: Path) -> None:
        self._file = file
        self.memory = os.memfd_create(MODEL, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        weakref.finalize(self, os.close, self.memory)
        try:
            with os.fdopen(os.dup(self.memory), "wb") as stream:
                bundle.copy_verified(file, stream)
            seal(self.memory)
        except (OSError, BundleError) as error:
            how = "what is live was verified before: reload to take what is there"
            raise RuntimeUnavailable(f"{error}; {how}") from error

    def named(self, error: str) -> str:
        """A worker's error with the file's name instead of the descriptor's."""
        return error.replace(f"/proc/self/fd/{self.memory}", str(self._file))


_models: weakref.WeakValueDictionary[tuple[str, Path], _Model] = weakref.WeakValueDictionary()
_models_lock = threading.Lock()


def _model(bundle: Bundle, file: Path) -> _Model:
    """The file in memory, where a worker of the same bundle may have it already."""
    with _models_lock:
        model = _models.get((bundle.sha256, file))
        if model is None:
            model = _models[bundle.sha256, file] = _Model(bundle, file)
        return model
