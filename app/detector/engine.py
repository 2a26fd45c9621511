"""The engine: one live bundle, a bounded queue, and worker threads that each own a runtime.

It takes decoded photos and gives detections. Waiting callers are served in order of arrival. The first worker is asked
first: a photo that finds nothing else being detected is its alone, and a runtime that can takes all cores for it. A
runtime that can takes photos that wait together at once.

A runtime in a process of its own has the next photo before it is done with one, as long as there are enough for all: it
need not wait until its thread gets its turn in the server's process. It may die: the photo that it worked on fails, its
thread starts another and warms it, and the other threads go on. Where none can be started, its thread tries again until
the engine is closed. A runtime in the thread itself takes the whole server with it when its native code crashes.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from app.detector.bundle import Bundle, find_bundle, read_bundle
from app.detector.detections import Detections
from app.detector.runtimes import Pipeline, Pixels, Runtime
from app.detector.runtimes.choice import may_be_tensorflow
from app.detector.runtimes.load import load_in_process, load_runtime
from app.errors import RuntimeUnavailable, WorkerDied
from app.process.cores import usable_cores
from app.settings import Isolation, Settings

logger = logging.getLogger(__name__)

WARM_UP_RUNS = 2
"""Inferences before an engine is ready; the first allocates, the second shows that it can be repeated."""

MOST_WORKERS = 8
"""Workers where the settings leave their number open: about as many as the server's own process can keep busy."""

MOST_THREADS = 4
"""Threads for a photo that is alone, likewise: the model is too small to gain from more."""

STARTS = 5
"""How often in a row a worker's process may die at its start before its thread gives up for a while; an attempt takes
seconds."""

RETRY_S = 10.0
"""Seconds until a worker that could not be replaced is tried again."""

CLOSE_S = 2.0
"""Seconds that a closed engine gives the inferences of its processes to end."""

CHECK_S = 1.0
"""Seconds between an idle worker's checks that its runtime's process is alive."""


class Inference(NamedTuple):
    """What the detector saw, and the milliseconds spent waiting for a worker and working."""

    detections: Detections
    queue_ms: float
    inference_ms: float


@dataclass(slots=True)
class _Worker:
    """One of the engine's threads.

    Attributes:
        first: whether it takes the photos that come alone.
        asleep: notified to wake it.
        warm: its first runtime, once that is loaded and warm.
        runtime: that it detects with; one that died until there is another.
        stuck: whether its runtime died and the last attempt to start another failed.
    """

    first: bool
    asleep: threading.Condition
    warm: Future[Runtime] = field(default_factory=Future)
    runtime: Runtime | None = None
    stuck: bool = False

    @property
    def alive(self) -> bool:
        """Whether it has a runtime that detects."""
        return self.runtime is not None and self.runtime.alive


@dataclass(slots=True)
class _Job:
    pixels: Pixels
    alone: bool
    queued_at: float = field(default_factory=time.monotonic)
    future: Future[Inference] = field(default_factory=Future)
    begun: bool = False

    def begin(self) -> bool:
        """Whether the photo is still wanted; from then on it cannot be withdrawn."""
        self.begun = self.begun or self.future.set_running_or_notify_cancel()
        return self.begun

    def answer(self, detections: Detections, started: float, ended: float) -> None:
        """Gives the answer; times are those of `time.monotonic`."""
        self.future.set_result(Inference(detections, (started - self.queued_at) * 1000, (ended - started) * 1000))


class Engine:
    """Runs one bundle's detector. Safe to call from any thread and from asyncio."""

    def __init__(
        self,
        bundle: Bundle,
        load: Callable[[], Runtime],
        *,
        load_first: Callable[[], Runtime] | None = None,
        workers: int = 1,
        batch_wait_s: float = 0.0,
    ) -> None:
        """Starts nothing; see `start`.

        Args:
            bundle: which detector is live.
            load: makes a runtime; called once by each worker, in its thread.
            load_first: makes that of the first worker, if it is another.
            workers: inferences at once.
            batch_wait_s: seconds that a batch which is not full waits for more photos, while several callers are about.
        """
        self.bundle = bundle
        self._load, self._load_first = load, load_first or load
        self._queue: deque[_Job] = deque()
        self._batch_wait_s = batch_wait_s
        self._lock = threading.Lock()
        self._open = False
        self._busy = 0
        self._met = False
        self._runtime: Runtime | None = None
        self._workers = [_Worker(number == 0, threading.Condition(self._lock)) for number in range(workers)]
        self._idle: list[_Worker] = []
        self._threads = [
            threading.Thread(target=self._work, args=(worker,), name=f"engine-{number}", daemon=True)
            for number, worker in enumerate(self._workers, start=1)
        ]

    def start(self) -> None:
        """Loads a runtime for each worker, runs warm-up inferences, and returns when all workers are ready.

        Raises:
            CariesError: a runtime cannot be loaded; the engine is closed then.
        """
        with self._lock:
            self._open = True
        for thread in self._threads:
            thread.start()
        try:
            runtimes = [worker.warm.result() for worker in self._workers]
        except BaseException:
            self.close()
            raise
        self._runtime = runtimes[0]

    @property
    def ready(self) -> bool:
        """Whether photos are taken and will be detected: warm, not closed, and a worker lives."""
        return self._runtime is not None and self._open and any(worker.alive for worker in self._workers)

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
        with self._lock:
            return len(self._queue)

    def submit(self, pixels: Pixels, *, alone: bool = True) -> Future[Inference]:
        """Queue a photo. Cancel the future to withdraw it, which is possible until a worker begins it.

        Args:
            pixels: the photo.
            alone: whether it may take the whole machine; false where the caller knows of others on their way.

        Raises:
            RuntimeUnavailable: the engine is not started, closed, or has no worker left that lives or can be replaced.
        """
        job = _Job(pixels, alone)
        job.future.add_done_callback(self._forget)
        with self._lock:
            # A photo that comes while a worker is being replaced waits for that.
            if self._runtime is None or not self._open or all(worker.stuck for worker in self._workers):
                raise RuntimeUnavailable("the detector is not running")
            self._queue.append(job)
            self._wake_one()
        return job.future

    async def detect(self, pixels: Pixels, *, alone: bool = True) -> Inference:
        """Detections on a photo, as `submit`. Cancelling the call withdraws the photo.

        Raises:
            RuntimeUnavailable: see `submit`.
            WorkerDied: the process that detected the photo ended.
        """
        return await asyncio.wrap_future(self.submit(pixels, alone=alone))

    def close(self) -> None:
        """Lets running inferences end, withdraws waiting photos and ends the workers. May be called twice.

        A process that is not done after `CLOSE_S` is killed.
        """
        self._end(RuntimeUnavailable("the detector is shutting down"))
        end = time.monotonic() + CLOSE_S
        for thread, worker in zip(self._threads, self._workers, strict=True):
            if thread.ident is None:
                continue
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive() and worker.runtime is not None:
                worker.runtime.kill()
            thread.join()

    def _end(self, reason: Exception) -> None:
        """Takes no more photos and withdraws the waiting ones; the workers end when they notice."""
        with self._lock:
            self._open = False
            for worker in self._workers:
                worker.asleep.notify()
        self._withdraw(reason)

    def _forget(self, future: Future[Inference]) -> None:
        """Removes a photo that was withdrawn, which nothing else would before a worker is free."""
        if future.cancelled():
            with self._lock:
                self._queue = deque(job for job in self._queue if job.future is not future)

    def _withdraw(self, reason: Exception) -> None:
        """Fails all photos that wait."""
        with self._lock:
            withdrawn, self._queue = self._queue, deque()
        for job in withdrawn:
            if job.begin():
                job.future.set_exception(reason)

    def _work(self, worker: _Worker) -> None:
        """A worker's life: load, warm up, then job after job until the engine is closed."""
        try:
            worker.runtime = runtime = self._start_runtime(worker)
        except BaseException as error:
            worker.warm.set_exception(error)
            return
        worker.warm.set_result(runtime)
        try:
            while self._wait(worker):
                # A process may also have died while it was idle, which must not cost a photo its answer.
                if worker.alive:
                    self._run_next(runtime, worker)
                else:
                    worker.runtime = runtime = self._replaced(runtime, worker)
        except Exception:
            logger.exception("%s %d takes no more photos", self.bundle.name, self.bundle.version)
            self._end(RuntimeUnavailable("the detector has stopped; the cause is in the server's log"))
        finally:
            runtime.close()

    def _start_runtime(self, worker: _Worker) -> Runtime:
        """A runtime that is loaded and warm."""
        blank = np.zeros((self.bundle.input_height, self.bundle.input_width, 3), np.uint8)
        for attempt in range(1, STARTS + 1):
            runtime = None
            try:
                runtime = self._load_first() if worker.first else self._load()
                for detect in _ways(runtime, blank, alone=worker.first):
                    for _ in range(WARM_UP_RUNS):
                        detect()
                return runtime
            except BaseException as error:
                if runtime is not None:
                    runtime.close()
                if not isinstance(error, WorkerDied):
                    raise
                logger.warning("attempt %d of %d to start a worker failed: %s", attempt, STARTS, error)
        raise RuntimeUnavailable(f"the detector's process died {STARTS} times in a row at its start")

    def _replaced(self, runtime: Runtime, worker: _Worker) -> Runtime:
        """Another runtime in the place of a worker's that died; that one, after a while, if there can be no other."""
        with self._lock:
            self._wake_one()  # for the photo that this worker was woken for
        started = time.monotonic()
        runtime.close()
        try:
            another = self._start_runtime(worker)
        except Exception as error:
            name = f"{self.bundle.name} {self.bundle.version}"
            logger.error("%s: a worker that died was not replaced, next attempt in %g s: %s", name, RETRY_S, error)
            worker.stuck = True
            if all(other.stuck for other in self._workers):
                self._withdraw(RuntimeUnavailable("the detector has stopped; the cause is in the server's log"))
            with self._lock:
                worker.asleep.wait_for(lambda: not self._open, RETRY_S)
            return runtime
        worker.stuck = False
        logger.warning("a worker that died was replaced within %.1f s", time.monotonic() - started)
        return another

    def _wake_one(self) -> None:
        """Wakes an idle worker if photos wait, the first one if it is idle. Under the lock."""
        if self._queue and self._idle:
            self._idle.pop().asleep.notify()

    def _sleep(self, worker: _Worker, timeout: float | None = None) -> None:
        """Until a photo comes, the engine is closed, or the time is up. Under the lock."""
        self._idle.insert(len(self._idle) if worker.first else 0, worker)
        worker.asleep.wait(timeout)
        if worker in self._idle:
            self._idle.remove(worker)

    def _wait(self, worker: _Worker) -> bool:
        """Waits for a job, without taking it, or for the death of its process; False when the engine is closed."""
        with self._lock:
            while self._open and not self._queue and worker.alive:
                self._sleep(worker, CHECK_S)
            return self._open

    def _run_next(self, runtime: Runtime, worker: _Worker) -> None:
        """Takes the jobs that waited longest, as many as the runtime takes at once, and does them; none if all are
        taken.
        """
        size = runtime.batch_size
        with self._lock:
            # A lone caller never waits: only where others were met just now may more photos be on their way.
            until = time.monotonic() + self._batch_wait_s
            while self._open and len(self._queue) < size and self._met and (left := until - time.monotonic()) > 0:
                self._sleep(worker, left)
            taken = [self._queue.popleft() for _ in range(min(size, len(self._queue)))] if self._open else []
            if not taken:
                return
            self._met = len(taken) > 1 or bool(self._queue)
            alone = worker.first and taken[0].alone and not self._met and self._busy == 0
            self._busy += 1
        try:
            jobs = [job for job in taken if job.begin()]
            if jobs and (pipeline := runtime.pipeline):
                self._run_ahead(jobs[0], pipeline, alone=alone)
            elif jobs:
                _run(jobs, runtime, alone=alone)
        finally:
            with self._lock:
                self._busy -= 1

    def _run_ahead(self, job: _Job, pipeline: Pipeline, *, alone: bool) -> None:
        """Does a job, and those that follow it without a pause."""
        in_hand: deque[_Job] = deque()
        started = time.monotonic()
        self._hand_over(job, pipeline, in_hand, alone=alone)
        self._fill(pipeline, in_hand)
        while in_hand:
            try:
                answer: Detections | BaseException = pipeline.finish()
            except WorkerDied as error:
                in_hand.popleft().future.set_exception(error)
                self._give_back(in_hand)
                return
            except BaseException as error:  # one photo's failure must not end the worker
                answer = error
            ended = time.monotonic()
            done = in_hand.popleft()
            # Before the answer is passed on: the worker must not wait for that.
            self._fill(pipeline, in_hand)
            if isinstance(answer, BaseException):
                done.future.set_exception(answer)
            else:
                done.answer(answer, started, ended)
            started = ended

    def _fill(self, pipeline: Pipeline, in_hand: deque[_Job]) -> None:
        """Hands over as many photos as a worker may have, of those that no other could begin at once."""
        while len(in_hand) < pipeline.depth:
            with self._lock:
                # As long as the worker has one, each of the others is left one.
                left = len(self._workers) - 1 if in_hand else 0
                if not self._open or len(self._queue) <= left:
                    return
                taken = self._queue.popleft()
            if taken.begin() and not self._hand_over(taken, pipeline, in_hand):
                return

    def _hand_over(self, job: _Job, pipeline: Pipeline, in_hand: deque[_Job], *, alone: bool = False) -> bool:
        """Gives a worker one more photo; false if it turns out to have died, and the photo waits for another then."""
        try:
            pipeline.begin(job.pixels, alone=alone)
        except WorkerDied:
            self._give_back([job])
            return False
        except BaseException as error:  # one photo's failure must not end the worker
            job.future.set_exception(error)
        else:
            in_hand.append(job)
        return True

    def _give_back(self, jobs: Iterable[_Job]) -> None:
        """Puts photos that nobody has looked at before those that wait."""
        with self._lock:
            self._queue.extendleft(reversed(list(jobs)))
            is_open = self._open
            self._wake_one()
        if not is_open:
            self._withdraw(RuntimeUnavailable("the detector is shutting down"))


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
    make = load or (load_in_process if settings.isolation is Isolation.PROCESS else load_runtime)
    cores = usable_cores()
    # TensorFlow spreads one inference, or one batch, over all cores; a second copy would take another half gigabyte.
    workers = settings.workers or (
        1
        if may_be_tensorflow(bundle, settings.runtime)
        else min(max(1, cores // (settings.threads or 1)), MOST_WORKERS)
    )
    threads = settings.threads or max(1, cores // workers)
    alone = settings.threads or min(cores, max(threads, MOST_THREADS))

    start = functools.partial(
        make,
        bundle,
        settings.runtime,
        precision=settings.precision,
        threads=threads,
        batch_size=settings.batch_size,
    )
    return Engine(
        bundle,
        start,
        load_first=functools.partial(start, alone_threads=alone),
        workers=workers,
        batch_wait_s=settings.batch_wait_ms / 1000,
    )


def _ways(runtime: Runtime, blank: Pixels, *, alone: bool) -> list[Callable[[], object]]:
    """All ways in which a worker's runtime detects, for its warm-up."""
    ways: list[Callable[[], object]] = [lambda: runtime.detect(blank)]
    if alone:
        ways.append(lambda: runtime.detect_alone(blank))
    if runtime.batch_size > 1:
        ways.append(lambda: runtime.detect_batch([blank] * runtime.batch_size))
    return ways


def _run(jobs: list[_Job], runtime: Runtime, *, alone: bool) -> None:
    started = time.monotonic()
    try:
        if len(jobs) > 1:
            found = runtime.detect_batch([job.pixels for job in jobs])
        else:
            found = [(runtime.detect_alone if alone else runtime.detect)(jobs[0].pixels)]
    except BaseException as error:  # one photo's failure must not end the worker
        for job in jobs:
            job.future.set_exception(error)
        return
    ended = time.monotonic()
    for job, detections in zip(jobs, found, strict=True):
        job.answer(detections, started, ended)
