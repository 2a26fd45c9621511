"""The engine: one live bundle, a bounded queue, and worker threads that each own a runtime.

It takes decoded photos and gives detections. Waiting callers are served in order of arrival.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.bundle import Bundle, find_bundle, read_bundle
from app.detections import Detections
from app.errors import DeadlineExceeded, Overloaded, RuntimeUnavailable
from app.runtimes import Runtime, load_runtime
from app.settings import Settings

Pixels = npt.NDArray[np.uint8]

WARM_UP_RUNS = 2
"""Inferences before an engine is ready; the first allocates, the second shows that it can be repeated."""


class Inference(NamedTuple):
    """What the detector saw, and the milliseconds spent waiting for a worker and working."""

    detections: Detections
    queue_ms: float
    inference_ms: float


@dataclass(slots=True)
class _Job:
    pixels: Pixels
    late_at: float
    queued_at: float = field(default_factory=time.monotonic)
    future: Future[Inference] = field(default_factory=Future)


class Engine:
    """Runs one bundle's detector. Safe to call from any thread and from asyncio."""

    def __init__(
        self,
        bundle: Bundle,
        load: Callable[[], Runtime],
        *,
        workers: int = 1,
        queue_size: int = 32,
        deadline_s: float | None = None,
    ) -> None:
        """Starts nothing; see `start`.

        Args:
            bundle: which detector is live.
            load: makes a runtime; called once by each worker, in its thread.
            workers: inferences at once.
            queue_size: photos that may wait for a worker.
            deadline_s: seconds a photo may wait and be worked on; None for no limit.
        """
        self.bundle = bundle
        self.deadline_s = deadline_s
        self._load = load
        self._queue_size = queue_size
        self._queue: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._open = False
        self._runtime: Runtime | None = None
        self._warm: list[Future[Runtime]] = [Future() for _ in range(workers)]
        self._threads = [
            threading.Thread(target=self._work, args=(warm,), name=f"engine-{number}", daemon=True)
            for number, warm in enumerate(self._warm, start=1)
        ]

    def start(self) -> None:
        """Loads a runtime for each worker, runs warm-up inferences, and returns when all workers are ready.

        Raises:
            CariesError: a runtime cannot be loaded; the engine is closed then.
        """
        with self._changed:
            self._open = True
        for thread in self._threads:
            thread.start()
        try:
            runtimes = [warm.result() for warm in self._warm]
        except BaseException:
            self.close()
            raise
        self._runtime = runtimes[0]

    @property
    def ready(self) -> bool:
        """Whether photos are taken: warm, and not closed."""
        return self._runtime is not None and self._open

    @property
    def runtime(self) -> Runtime:
        """What the first worker runs; its name and device hold for all.

        Raises:
            RuntimeUnavailable: the engine is not ready.
        """
        if self._runtime is None:
            raise RuntimeUnavailable("the detector is not loaded yet")
        return self._runtime

    @property
    def waiting(self) -> int:
        """How many photos wait for a worker."""
        with self._changed:
            return sum(not job.future.done() for job in self._queue)

    def submit(self, pixels: Pixels) -> Future[Inference]:
        """Queues a photo, uint8 `[height, width, 3]` RGB; cancel the future to withdraw it.

        The future raises DeadlineExceeded if the photo was not taken up in time.

        Raises:
            Overloaded: the queue is full.
            RuntimeUnavailable: the engine is not started, or closed.
        """
        late_at = float("inf") if self.deadline_s is None else time.monotonic() + self.deadline_s
        job = _Job(pixels, late_at)
        with self._changed:
            if not self.ready:
                raise RuntimeUnavailable("the detector is not running")
            if len(self._queue) >= self._queue_size:
                self._queue = deque(waiting for waiting in self._queue if not waiting.future.done())
            if len(self._queue) >= self._queue_size:
                raise Overloaded(f"{self._queue_size} photos are waiting already; try again shortly")
            self._queue.append(job)
            self._changed.notify()
        return job.future

    async def detect(self, pixels: Pixels) -> Inference:
        """Detections on a photo, uint8 `[height, width, 3]` RGB. Cancelling the call withdraws the photo.

        Raises:
            DeadlineExceeded: no answer within the engine's deadline.
            Overloaded, RuntimeUnavailable: see `submit`.
        """
        try:
            async with asyncio.timeout(self.deadline_s):
                return await asyncio.wrap_future(self.submit(pixels))
        except TimeoutError:
            raise _late(self.deadline_s) from None

    def close(self) -> None:
        """Lets running inferences end, withdraws waiting photos and ends the workers. May be called twice."""
        with self._changed:
            self._open = False
            withdrawn, self._queue = self._queue, deque()
            self._changed.notify_all()
        for job in withdrawn:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(RuntimeUnavailable("the detector is shutting down"))
        for thread in self._threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join()

    def _work(self, warm: Future[Runtime]) -> None:
        """A worker's life: load, warm up, then job after job until the engine is closed."""
        try:
            runtime = self._load()
            blank = np.zeros((self.bundle.input_height, self.bundle.input_width, 3), np.uint8)
            for _ in range(WARM_UP_RUNS):
                runtime.detect(blank)
        except BaseException as error:
            warm.set_exception(error)
            return
        warm.set_result(runtime)
        while (job := self._next()) is not None:
            _run(job, runtime, self.deadline_s)

    def _next(self) -> _Job | None:
        """The longest waiting job; None when the engine is closed."""
        with self._changed:
            while self._open and not self._queue:
                self._changed.wait()
            return self._queue.popleft() if self._open else None


def open_engine(settings: Settings, *, load: Callable[..., Runtime] = load_runtime) -> Engine:
    """The engine that the settings ask for, not started.

    Args:
        settings: see `app.settings`.
        load: makes a runtime from bundle, kind, precision and threads, as `load_runtime` does.

    Raises:
        UnknownModel: the store does not hold the model.
        BundleError: its bundle is damaged.
    """
    bundle = read_bundle(find_bundle(settings.model_store, settings.model, settings.model_version))
    return Engine(
        bundle,
        lambda: load(bundle, settings.runtime, precision=settings.precision, threads=settings.threads),
        workers=settings.workers,
        # Whoever holds a photo open was admitted already, and is not to be refused here.
        queue_size=settings.queue + settings.photos_open,
        deadline_s=settings.deadline_s,
    )


def _run(job: _Job, runtime: Runtime, deadline_s: float | None) -> None:
    started = time.monotonic()
    if not job.future.set_running_or_notify_cancel():
        return
    if started > job.late_at:
        job.future.set_exception(_late(deadline_s))
        return
    try:
        detections = runtime.detect(job.pixels)
    except BaseException as error:  # one photo's failure must not end the worker
        job.future.set_exception(error)
        return
    ended = time.monotonic()
    job.future.set_result(Inference(detections, (started - job.queued_at) * 1000, (ended - started) * 1000))


def _late(deadline_s: float | None) -> DeadlineExceeded:
    return DeadlineExceeded(f"the photo could not be screened within {deadline_s:g} seconds; try again shortly")
