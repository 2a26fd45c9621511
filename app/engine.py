"""The engine: one live bundle, a bounded queue, and worker threads that each own a runtime.

It takes decoded photos and gives detections. Waiting callers are served in order of arrival.

A runtime in a process of its own may die: the photo that it worked on fails, its thread starts another and warms it,
and the other threads go on. A runtime in the thread itself takes the whole server with it when its native code crashes.
"""

from __future__ import annotations

import asyncio
import logging
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
from app.errors import DeadlineExceeded, Overloaded, RuntimeUnavailable, WorkerDied
from app.runtimes import Runtime, load_in_process, load_runtime
from app.runtimes.process import WorkerProcess
from app.settings import Settings

logger = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]

WARM_UP_RUNS = 2
"""Inferences before an engine is ready; the first allocates, the second shows that it can be repeated."""

STARTS = 5
"""How often in a row a worker's process may die at its start before the engine is closed; an attempt takes seconds."""


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
        self._end(RuntimeUnavailable("the detector is shutting down"))
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _end(self, reason: Exception) -> None:
        """Takes no more photos and withdraws the waiting ones; the workers end when they notice."""
        with self._changed:
            self._open = False
            withdrawn, self._queue = self._queue, deque()
            self._changed.notify_all()
        for job in withdrawn:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(reason)

    def _work(self, warm: Future[Runtime]) -> None:
        """A worker's life: load, warm up, then job after job until the engine is closed."""
        try:
            runtime = self._start_runtime()
        except BaseException as error:
            warm.set_exception(error)
            return
        warm.set_result(runtime)
        try:
            while self._wait():
                # A process may also have died while it was idle, which must not cost a photo its answer.
                runtime = self._living(runtime)
                job = self._next()
                if job is not None:
                    _run(job, runtime, self.deadline_s)
                runtime = self._living(runtime)
        except Exception as error:
            logger.error("%s %d takes no more photos: %s", self.bundle.name, self.bundle.version, error)
            self._end(RuntimeUnavailable("the detector has stopped; the cause is in the server's log"))
        finally:
            _close(runtime)

    def _start_runtime(self) -> Runtime:
        """A runtime that is loaded and warm."""
        blank = np.zeros((self.bundle.input_height, self.bundle.input_width, 3), np.uint8)
        for attempt in range(1, STARTS + 1):
            runtime = None
            try:
                runtime = self._load()
                for _ in range(WARM_UP_RUNS):
                    runtime.detect(blank)
                return runtime
            except BaseException as error:
                _close(runtime)
                if not isinstance(error, WorkerDied):
                    raise
                logger.warning("attempt %d of %d to start a worker failed: %s", attempt, STARTS, error)
        raise RuntimeUnavailable(f"the detector's process died {STARTS} times in a row at its start")

    def _living(self, runtime: Runtime) -> Runtime:
        """The runtime, or another in its place if its process died."""
        if not isinstance(runtime, WorkerProcess) or runtime.alive or not self._open:
            return runtime
        with self._changed:
            self._changed.notify()  # another worker may take the photo that this one was woken for
        started = time.monotonic()
        _close(runtime)
        runtime = self._start_runtime()
        logger.warning("a worker that died was replaced within %.1f s", time.monotonic() - started)
        return runtime

    def _wait(self) -> bool:
        """Waits for a job, without taking it; False when the engine is closed."""
        with self._changed:
            while self._open and not self._queue:
                self._changed.wait()
            return self._open

    def _next(self) -> _Job | None:
        """The longest waiting job; None if another worker took it."""
        with self._changed:
            return self._queue.popleft() if self._open and self._queue else None


def open_engine(settings: Settings, *, load: Callable[..., Runtime] | None = None) -> Engine:
    """The engine that the settings ask for, not started.

    Args:
        settings: see `app.settings`.
        load: see `engine_of`.

    Raises:
        UnknownModel: the store does not hold the model.
        BundleError: its bundle is damaged.
    """
    bundle = read_bundle(find_bundle(settings.model_store, settings.model, settings.model_version))
    return engine_of(bundle, settings, load=load)


def engine_of(bundle: Bundle, settings: Settings, *, load: Callable[..., Runtime] | None = None) -> Engine:
    """The engine of a bundle, not started.

    Args:
        bundle: the detector.
        settings: see `app.settings`.
        load: makes a runtime from bundle, kind, precision and threads, as `load_runtime` does; without it, the settings
            say where inference runs.
    """
    make = load or (load_in_process if settings.isolation == "process" else load_runtime)
    return Engine(
        bundle,
        lambda: make(bundle, settings.runtime, precision=settings.precision, threads=settings.threads),
        workers=settings.workers,
        # Whoever holds a photo open was admitted already, and is not to be refused here.
        queue_size=settings.queue + settings.photos_open,
        deadline_s=settings.deadline_s,
    )


def _close(runtime: Runtime | None) -> None:
    if isinstance(runtime, WorkerProcess):
        runtime.close()


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
