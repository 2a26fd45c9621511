"""A runtime in a separate process, so that a crash in its native code fails one request and not the server."""

import json
import logging
import math
import os
import socket
import struct
import subprocess
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

from app.detector.bundle import TFLITE_MODELS, Bundle
from app.detector.detections import Detections
from app.detector.runtimes import Pipeline, Pixels, Runtime, RuntimeOptions, fitted
from app.detector.runtimes.load import may_be_tensorflow
from app.detector.runtimes.messages import FAILED, MODEL, receive, send, shared_array, unpack
from app.errors import BundleError, RuntimeUnavailable, WorkerDied
from app.process.subprocesses import anonymous_memory, describe_exit, seal, start_module
from app.settings import Precision, RuntimeKind

logger = logging.getLogger(__name__)

PIPELINE_DEPTH = 2
"""Photos in a worker's hands: it begins the next one without waiting for the server's threads."""

END_S = 5
"""Seconds that a worker gets to end once its socket is closed."""

HANG_S = 120.0
"""Seconds after which a silent worker is killed; more than the first inference on a GPU takes."""

LITERT_OPTIONS = ("threads", "alone_threads")


class WorkerProcess(Runtime):
    """Passes photos to a worker process. Detection raises WorkerDied, or RuntimeError if the runtime fails.

    Attributes:
        name, device, batch_size, detects_alone: of the worker's runtime.
        pid: of the worker.
        begun: how many photos `begin` has handed over.
    """

    depth = PIPELINE_DEPTH

    def __init__(self, bundle: Bundle, kind: str = RuntimeKind.AUTO, **options: Unpack[RuntimeOptions]) -> None:
        """Start the worker and wait until its runtime is loaded.

        Raises:
            RuntimeUnavailable: the runtime is not installed or cannot run the bundle, or the bundle's files have
                changed since they were verified.
            WorkerDied: the worker ended while it loaded.
        """
        slots = max(PIPELINE_DEPTH, options.get("batch_size", 1))
        shape = (slots, bundle.input_height, bundle.input_width, 3)
        job: dict[str, Any] = {"model": None, "path": str(bundle.path), "sha256": bundle.sha256, "kind": kind}
        job |= {"shape": shape, "options": options}
        models: dict[str, _Model] = {}
        chooser = options.pop("chooser", None)
        if not may_be_tensorflow(bundle, kind):
            chosen = options.get("precision", Precision.FLOAT32) if chooser is None else chooser.chosen
            candidates = TFLITE_MODELS if chosen is None else (chosen,)
            models = {name: _shared_model(bundle, bundle.tflite(name)) for name in candidates}
            job["options"] = {name: value for name, value in options.items() if name in LITERT_OPTIONS}
        job["models"] = memories = {name: model.memory for name, model in models.items()}
        with anonymous_memory("photos") as photos:
            os.ftruncate(photos, math.prod(shape))
            self._inputs = shared_array(photos, shape)
            self._socket, theirs = socket.socketpair()
            with theirs:
                self._process = start_module(
                    "app.detector.runtimes.worker",
                    (theirs.fileno(), photos),
                    pass_fds=[theirs.fileno(), photos, *memories.values()],
                    stdin=subprocess.DEVNULL,
                )
        self.pid = self._process.pid
        self._model: _Model | None = None
        try:
            if chooser is not None and len(models) > 1:
                job["model"] = chooser.choose(lambda: self._load({"time": True, **job}, models)["times"])
            elif models:
                (job["model"],) = models
            loaded = self._load(job, models)
            self._model = models.get(job["model"])
            # The kernel makes waiting for an answer raise BlockingIOError after this time, at no cost per photo.
            timeval = struct.pack("ll", int(HANG_S), int(HANG_S % 1 * 1e6))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        except BaseException:
            self.close()
            raise
        self.name: str = loaded["name"]
        self.device: str = loaded["device"]
        self.batch_size: int = loaded["batch_size"]
        self.detects_alone: bool = loaded["detects_alone"]
        self.begun = 0

    def _load(self, job: dict[str, Any], models: Mapping[str, "_Model"]) -> dict[str, Any]:
        """The worker's answer to a job, before it serves."""
        with self._death_noticed():
            send(self._socket, json.dumps(job).encode())
            answer: dict[str, Any] = json.loads(receive(self._socket))
        if error := answer.get("error"):
            for model in models.values():
                error = model.with_file_name(error)
            raise RuntimeUnavailable(error)
        return answer

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def pipeline(self) -> Pipeline | None:
        """The worker itself, unless it detects in batches."""
        return self if self.batch_size == 1 else None

    def detect(self, pixels: Pixels) -> Detections:
        return self.detect_batch([pixels])[0]

    def detect_alone(self, pixels: Pixels) -> Detections:
        self._hand_over([pixels], alone=True)
        return self._answer(1)[0]

    def detect_batch(self, photos: Sequence[Pixels]) -> list[Detections]:
        self._hand_over(photos)
        return self._answer(len(photos))

    def begin(self, pixels: Pixels, *, alone: bool = False) -> None:
        self._hand_over([pixels], alone=alone, slot=self.begun % PIPELINE_DEPTH)
        self.begun += 1

    def finish(self) -> Detections:
        return self._answer(1)[0]

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._model = None
        self._socket.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _hand_over(self, photos: Sequence[Pixels], *, alone: bool = False, slot: int = 0) -> None:
        _, height, width, _ = self._inputs.shape
        for pixels, target in zip(photos, self._inputs[slot:], strict=False):
            target[...] = fitted(pixels, height, width)
        with self._death_noticed():
            send(self._socket, bytes((slot, len(photos), alone)))

    def _answer(self, photos: int) -> list[Detections]:
        with self._death_noticed():
            answer = receive(self._socket)
        if answer[:1] == FAILED:
            raise RuntimeError(answer[1:].decode())
        return unpack(answer[1:], photos)

    @contextmanager
    def _death_noticed(self) -> Iterator[None]:
        """Turn the socket errors of a dead worker into WorkerDied."""
        try:
            yield
            return
        except BlockingIOError:
            self._process.kill()
            self.close()
            how = f"no answer within {HANG_S:g} s"
        except (OSError, EOFError):
            self.close()
            how = describe_exit(self._process.returncode)
        logger.error("the detector's process %d died: %s", self.pid, how)
        raise WorkerDied(f"the detector's process died ({how}) and is being replaced; try again shortly") from None


class _Model:
    """A TFLite file of a bundle in immutable memory, shared by all workers that run it.

    Attributes:
        memory: its file descriptor, closed with the last reference to this object.
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
            how = "it was verified before it went live: reload to use the file as it is now"
            raise RuntimeUnavailable(f"{error}; {how}") from error

    def with_file_name(self, error: str) -> str:
        """A worker's error with the file's name in place of the descriptor's."""
        return error.replace(f"/proc/self/fd/{self.memory}", str(self._file))


_models: weakref.WeakValueDictionary[tuple[str, Path], _Model] = weakref.WeakValueDictionary()
_models_lock = threading.Lock()


def _shared_model(bundle: Bundle, file: Path) -> _Model:
    """The file in memory; workers of the same bundle share it."""
    with _models_lock:
        model = _models.get((bundle.sha256, file))
        if model is None:
            model = _models[bundle.sha256, file] = _Model(bundle, file)
        return model
