"""A worker of an engine: a thread that owns a runtime and replaces it if its process dies.

A runtime with a pipeline has its next photo before it finishes the current one, if there are enough photos for all
workers, so that it does not wait for a thread of the server. When its process dies, the photo that it worked on fails;
the others continue with the replacement or with another worker. A runtime in the server's process takes the server with
it if its native code crashes.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

from app.detector.bundle import Bundle
from app.detector.detections import Detections
from app.detector.photo_queue import Job, PhotoQueue
from app.detector.runtimes import Pipeline, Runtime
from app.errors import RuntimeUnavailable, WorkerDied

logger = logging.getLogger(__name__)

WARM_UP_RUNS = 2
"""Inferences of each kind before a worker is ready; the first allocates, the second shows that it can be repeated."""

MAX_STARTS = 5
"""Deaths of a process in a row, at its start, until the worker gives up for a while; an attempt takes seconds."""

RETRY_S = 10.0
"""Seconds until a worker without a runtime tries again."""

CHECK_S = 1.0
"""Seconds between an idle worker's checks that its runtime's process is alive."""


class WorkerThread(threading.Thread):
    """Loads a runtime, then detects photos of a queue until it is closed.

    Attributes:
        warm: the first runtime once it is loaded and warm, or the error.
        runtime: the present runtime, which may have died.
        stuck: whether the runtime died and could not be replaced so far.
    """

    def __init__(
        self, name: str, bundle: Bundle, load: Callable[[], Runtime], queue: PhotoQueue, *, batch_wait_s: float
    ) -> None:
        """`load` creates a runtime, in this thread."""
        super().__init__(name=name, daemon=True)
        self.warm: Future[Runtime] = Future()
        self.runtime: Runtime | None = None
        self._model = f"{bundle.name} {bundle.version}"
        self._blank = np.zeros((bundle.input_height, bundle.input_width, 3), np.uint8)
        self._load = load
        self._queue, self._seat = queue, queue.add_worker()
        self._batch_wait_s = batch_wait_s

    @property
    def stuck(self) -> bool:
        return self._seat.stuck

    @property
    def ready(self) -> bool:
        """Whether the runtime is loaded and alive."""
        return self.runtime is not None and self.runtime.alive

    def run(self) -> None:
        """Load the runtime, then detect until the queue closes."""
        try:
            self.runtime = runtime = self._start_runtime()
        except BaseException as error:
            self.warm.set_exception(error)
            return
        self.warm.set_result(runtime)
        try:
            while self._queue.wait(self._seat, lambda: self.ready, CHECK_S):
                # A process may have died while it was idle, which must not cost a photo its answer.
                if self.ready:
                    self._detect_next(runtime)
                else:
                    self.runtime = runtime = self._replaced(runtime)
        except Exception:
            logger.exception("%s takes no more photos", self._model)
            self._queue.close(RuntimeUnavailable("the detector has stopped; the cause is in the server's log"))
        finally:
            runtime.close()

    def _start_runtime(self) -> Runtime:
        """A runtime that is loaded and warm."""
        for attempt in range(1, MAX_STARTS + 1):
            runtime = None
            try:
                runtime = self._load()
                self._warm_up(runtime)
                return runtime
            except BaseException as error:
                if runtime is not None:
                    runtime.close()
                if not isinstance(error, WorkerDied):
                    raise
                logger.warning("attempt %d of %d to start a worker failed: %s", attempt, MAX_STARTS, error)
        raise RuntimeUnavailable(f"the detector's process died {MAX_STARTS} times in a row at its start")

    def _warm_up(self, runtime: Runtime) -> None:
        """Make every kind of call that this worker will make."""
        for _ in range(WARM_UP_RUNS):
            runtime.detect(self._blank)
            if self._seat.first and runtime.detects_alone:
                runtime.detect_alone(self._blank)
            if runtime.batch_size > 1:
                runtime.detect_batch([self._blank] * runtime.batch_size)

    def _replaced(self, dead: Runtime) -> Runtime:
        """Another runtime; the dead one, after a while, if none can be started."""
        self._queue.wake_another()
        started = time.monotonic()
        dead.close()
        try:
            runtime = self._start_runtime()
        except Exception as error:
            logger.error(
                "%s: a worker that died was not replaced, next attempt in %g s: %s", self._model, RETRY_S, error
            )
            self._queue.set_stuck(self._seat, True)
            self._queue.wait_until_closed(self._seat, RETRY_S)
            return dead
        self._queue.set_stuck(self._seat, False)
        logger.warning("a worker that died was replaced within %.1f s", time.monotonic() - started)
        return runtime

    def _detect_next(self, runtime: Runtime) -> None:
        """Detect the oldest photos, as many as the runtime takes in one call; none if other workers took them all."""
        with self._queue.take(self._seat, runtime.batch_size, self._batch_wait_s) as (jobs, alone):
            if jobs and (pipeline := runtime.pipeline):
                self._run_pipeline(jobs[0], pipeline, alone=alone)
            elif jobs:
                _run(jobs, runtime, alone=alone)

    def _run_pipeline(self, job: Job, pipeline: Pipeline, *, alone: bool) -> None:
        """Detect a photo, and those that follow it without a pause."""
        in_hand: deque[Job] = deque()
        started = time.monotonic()
        self._hand_over(job, pipeline, in_hand, alone=alone)
        self._fill(pipeline, in_hand)
        while in_hand:
            try:
                answer: Detections | BaseException = pipeline.finish()
            except WorkerDied as error:
                in_hand.popleft().future.set_exception(error)
                self._queue.put_back(in_hand)
                return
            except BaseException as error:  # one photo's failure must not end the worker
                answer = error
            ended = time.monotonic()
            done = in_hand.popleft()
            # The next photo first: the runtime must not wait while the answer is passed on.
            self._fill(pipeline, in_hand)
            if isinstance(answer, BaseException):
                done.future.set_exception(answer)
            else:
                done.answer(answer, started, ended)
            started = ended

    def _fill(self, pipeline: Pipeline, in_hand: deque[Job]) -> None:
        """Hand over more photos, as far as the pipeline takes them and no other worker could begin them now."""
        while len(in_hand) < pipeline.depth and (job := self._queue.take_ahead(busy=bool(in_hand))):
            if job.begin() and not self._hand_over(job, pipeline, in_hand):
                return

    def _hand_over(self, job: Job, pipeline: Pipeline, in_hand: deque[Job], *, alone: bool = False) -> bool:
        """Begin a photo; False if the runtime turns out to have died, and the photo is back in the queue."""
        try:
            pipeline.begin(job.pixels, alone=alone)
        except WorkerDied:
            self._queue.put_back([job])
            return False
        except BaseException as error:  # one photo's failure must not end the worker
            job.future.set_exception(error)
        else:
            in_hand.append(job)
        return True


def _run(jobs: list[Job], runtime: Runtime, *, alone: bool) -> None:
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
