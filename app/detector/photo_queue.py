"""The queue between callers and the workers of an engine.

Photos are detected in order of arrival. The first worker is woken first: a photo that finds no other being detected is
alone, and its runtime may use all cores.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from app.detector.detections import Detections
from app.detector.runtimes import Pixels
from app.errors import RuntimeUnavailable


class Inference(NamedTuple):
    """Detections, and the milliseconds of waiting for a worker and of detecting."""

    detections: Detections
    queue_ms: float
    inference_ms: float


@dataclass(slots=True, eq=False)
class Job:
    """A photo to detect; `alone` if it may use all cores. Cancel its future to withdraw it."""

    pixels: Pixels
    alone: bool
    future: Future[Inference] = field(default_factory=Future)
    _queued_at: float = field(default_factory=time.monotonic)
    _begun: bool = False

    def begin(self) -> bool:
        """Whether the photo is still wanted; from then on it cannot be withdrawn."""
        self._begun = self._begun or self.future.set_running_or_notify_cancel()
        return self._begun

    def answer(self, detections: Detections, started: float, ended: float) -> None:
        """Give the answer; the times are those of `time.monotonic`."""
        self.future.set_result(Inference(detections, (started - self._queued_at) * 1000, (ended - started) * 1000))


@dataclass(slots=True, eq=False)
class Seat:
    """A worker as the queue knows it; the first one gets the photos that come alone.

    Attributes:
        asleep: notified to wake the worker.
        stuck: whether it has no runtime and could not start one.
    """

    first: bool
    asleep: threading.Condition
    stuck: bool = False


class PhotoQueue:
    """Jobs that wait for a worker, and workers that wait for a job. Closed until `open`. Safe in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: deque[Job] = deque()
        self._seats: list[Seat] = []
        self._idle: list[Seat] = []
        self._busy = 0
        self._met_others = False
        self.is_open = False

    def __len__(self) -> int:
        with self._lock:
            return len(self._jobs)

    @property
    def idle(self) -> int:
        """How many workers wait for a job."""
        with self._lock:
            return len(self._idle)

    def add_worker(self) -> Seat:
        """A seat for one more worker."""
        seat = Seat(not self._seats, threading.Condition(self._lock))
        self._seats.append(seat)
        return seat

    def open(self) -> None:
        """Accept jobs from now on."""
        with self._lock:
            self.is_open = True

    def close(self, reason: Exception) -> None:
        """Accept no more jobs and withdraw the waiting ones; the workers end when they notice."""
        with self._lock:
            self.is_open = False
            for seat in self._seats:
                seat.asleep.notify()
        self._withdraw(reason)

    def put(self, *jobs: Job) -> None:
        """Queue photos, all at the same time.

        Raises:
            RuntimeUnavailable: the queue is closed, or no worker has a runtime or can start one.
        """
        for job in jobs:
            job.future.add_done_callback(self._forget_withdrawn)
        with self._lock:
            # Photos that come while a worker is being replaced wait for that.
            if not self.is_open or all(seat.stuck for seat in self._seats):
                raise RuntimeUnavailable("the detector is not running")
            for job in jobs:
                self._jobs.append(job)
                self._wake_one()

    def put_back(self, jobs: Iterable[Job]) -> None:
        """Return jobs that were taken and not worked on, to be the next ones."""
        with self._lock:
            self._jobs.extendleft(reversed(list(jobs)))
            self._wake_one()
            is_open = self.is_open
        if not is_open:
            self._withdraw(RuntimeUnavailable("the detector is shutting down"))

    def wait(self, seat: Seat, is_alive: Callable[[], bool], check_s: float) -> bool:
        """Wait for a job, without taking it, or for the death of the worker's runtime; False if the queue is closed."""
        with self._lock:
            while self.is_open and not self._jobs and is_alive():
                self._sleep(seat, check_s)
            return self.is_open

    def wait_until_closed(self, seat: Seat, seconds: float) -> None:
        """Return when the queue is closed, or after so many seconds."""
        with self._lock:
            seat.asleep.wait_for(lambda: not self.is_open, seconds)

    @contextmanager
    def take(self, seat: Seat, size: int, wait_s: float) -> Iterator[tuple[list[Job], bool]]:
        """The oldest jobs, and whether they are a single photo that is alone. They are in work during the block.

        Args:
            seat: of the worker.
            size: maximum number of jobs.
            wait_s: seconds to wait for that many if the last job met others. A lone caller never waits.
        """
        with self._lock:
            until = time.monotonic() + wait_s
            while self.is_open and len(self._jobs) < size and self._met_others:
                if (left := until - time.monotonic()) <= 0:
                    break
                self._sleep(seat, left)
            taken = [self._jobs.popleft() for _ in range(min(size, len(self._jobs)))] if self.is_open else []
            alone = False
            if taken:
                self._met_others = len(taken) > 1 or bool(self._jobs)
                alone = seat.first and taken[0].alone and not self._met_others and self._busy == 0
                self._busy += 1
        try:
            yield [job for job in taken if job.begin()], alone
        finally:
            if taken:
                with self._lock:
                    self._busy -= 1

    def take_ahead(self, *, busy: bool) -> Job | None:
        """The oldest job, for a pipeline; a busy worker leaves one for each of the other workers."""
        with self._lock:
            left = len(self._seats) - 1 if busy else 0
            return self._jobs.popleft() if self.is_open and len(self._jobs) > left else None

    def wake_another(self) -> None:
        """Wake a worker for the photo that this worker was woken for and cannot take."""
        with self._lock:
            self._wake_one()

    def set_stuck(self, seat: Seat, stuck: bool) -> None:
        """Note whether a worker can start a runtime. If none can, the waiting photos are withdrawn."""
        with self._lock:
            seat.stuck = stuck
            all_stuck = all(other.stuck for other in self._seats)
        if all_stuck:
            self._withdraw(RuntimeUnavailable("the detector has stopped; the cause is in the server's log"))

    def _wake_one(self) -> None:
        """Wake an idle worker, the first one if it is idle. Under the lock."""
        if self._jobs and self._idle:
            self._idle.pop().asleep.notify()

    def _sleep(self, seat: Seat, timeout: float) -> None:
        """Return when a photo comes, the queue is closed, or the time is up. Under the lock."""
        self._idle.insert(len(self._idle) if seat.first else 0, seat)
        seat.asleep.wait(timeout)
        if seat in self._idle:
            self._idle.remove(seat)

    def _forget_withdrawn(self, future: Future[Inference]) -> None:
        if future.cancelled():
            with self._lock:
                self._jobs = deque(job for job in self._jobs if job.future is not future)

    def _withdraw(self, reason: Exception) -> None:
        """Fail all photos that wait."""
        with self._lock:
            withdrawn, self._jobs = self._jobs, deque()
        for job in withdrawn:
            if job.begin():
                job.future.set_exception(reason)
