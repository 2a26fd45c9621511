"""Queue, workers and shutdown of the engine, on a runtime that can be held up and made to fail."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from app.detector.bundle import Bundle, OperatingPoint
from app.detector.detections import Detections
from app.detector.engine import Engine
from app.detector.photo_queue import Inference
from app.detector.runtimes import Runtime
from app.detector.worker_thread import WARM_UP_RUNS
from app.errors import RuntimeUnavailable

BUNDLE = Bundle(
    path=Path("nowhere"),
    name="stand-in",
    version=1,
    sha256="0" * 64,
    class_names=MappingProxyType({1: "normal", 2: "caries"}),
    screened_class_id=2,
    input_height=32,
    input_width=48,
    operating_point=OperatingPoint(0.5, 5, None, None, "nothing"),
    calibration=None,
    manifest=MappingProxyType({}),
)


class Held(Runtime):
    """A runtime that waits for its gate and notes the photos it saw."""

    name = "litert"
    device = "cpu"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.busy = threading.Semaphore(0)
        self.seen: list[int] = []
        self.threads: set[str] = set()

    def detect(self, pixels: np.ndarray) -> Detections:
        """No boxes; photos whose first sample is 13 fail."""
        self.threads.add(threading.current_thread().name)
        self.busy.release()
        assert self.gate.wait(30)
        self.seen.append(int(pixels[0, 0, 0]))
        if pixels[0, 0, 0] == 13:
            raise ValueError("unlucky")
        return Detections.empty()


def photo(number: int) -> np.ndarray:
    return np.full((8, 8, 3), number, np.uint8)


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def engine(held: Held) -> Iterator[Engine]:
    made = Engine(BUNDLE, lambda: held)
    made.start()
    held.seen.clear()
    for _ in range(WARM_UP_RUNS):
        held.busy.acquire()
    yield made
    held.gate.set()
    made.close()


def test_photos_are_answered_in_order(engine: Engine, held: Held) -> None:
    held.gate.clear()
    futures = [engine.submit(photo(1))]
    assert held.busy.acquire(timeout=5)
    futures += [engine.submit(photo(number)) for number in (2, 3)]
    assert engine.waiting == 2
    held.gate.set()
    answers = [future.result(5) for future in futures]
    assert held.seen == [1, 2, 3]
    assert engine.waiting == 0
    assert all(isinstance(answer, Inference) and len(answer.detections) == 0 for answer in answers)
    assert answers[2].queue_ms > 0
    assert answers[0].inference_ms > 0


def test_a_withdrawn_photo_leaves_the_queue(engine: Engine, held: Held) -> None:
    held.gate.clear()
    engine.submit(photo(1))
    assert held.busy.acquire(timeout=5)
    waiting = [engine.submit(photo(number)) for number in (2, 3)]
    assert waiting[0].cancel()
    assert engine.waiting == 1
    last = engine.submit(photo(5))
    held.gate.set()
    last.result(5)
    assert held.seen == [1, 3, 5]


def test_cancelled_asynchronous_caller_withdraws_its_photo(engine: Engine, held: Held) -> None:
    async def call() -> None:
        held.gate.clear()
        first = asyncio.create_task(engine.detect(photo(1)))
        second = asyncio.create_task(engine.detect(photo(2)))
        await asyncio.to_thread(held.busy.acquire)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        held.gate.set()
        await first

    asyncio.run(call())
    assert held.seen == [1]


def test_failing_photo_does_not_end_the_worker(engine: Engine) -> None:
    with pytest.raises(ValueError, match="unlucky"):
        engine.submit(photo(13)).result(5)
    assert len(engine.submit(photo(1)).result(5).detections) == 0


def test_each_worker_has_its_own_runtime() -> None:
    made: list[Held] = []
    lock = threading.Lock()

    def load() -> Held:
        with lock:
            made.append(Held())
            return made[-1]

    engine = Engine(BUNDLE, load, workers=3)
    engine.start()
    assert len(made) == 3
    for future in [engine.submit(photo(1)) for _ in range(12)]:
        future.result(5)
    engine.close()
    assert all(len(held.threads) == 1 for held in made)
    assert len(set.union(*(held.threads for held in made))) == 3


def test_not_ready_before_the_warm_up_and_after_the_end(held: Held) -> None:
    engine = Engine(BUNDLE, lambda: held)
    held.gate.clear()
    with pytest.raises(RuntimeUnavailable):
        engine.submit(photo(1))
    starting = threading.Thread(target=engine.start)
    starting.start()
    assert held.busy.acquire(timeout=5)
    assert not engine.ready
    with pytest.raises(RuntimeUnavailable):
        _ = engine.runtime
    held.gate.set()
    starting.join(5)
    assert engine.ready
    assert engine.runtime is held
    assert len(held.seen) == WARM_UP_RUNS
    engine.close()
    engine.close()
    assert not engine.ready
    with pytest.raises(RuntimeUnavailable):
        engine.submit(photo(1))


def test_runtime_that_cannot_be_loaded_closes_the_engine() -> None:
    def load() -> Held:
        raise RuntimeUnavailable("not here")

    engine = Engine(BUNDLE, load, workers=2)
    before = threading.active_count()
    with pytest.raises(RuntimeUnavailable, match="not here"):
        engine.start()
    assert not engine.ready
    assert threading.active_count() == before


def test_close_ends_the_running_photo_and_withdraws_the_waiting(engine: Engine, held: Held) -> None:
    held.gate.clear()
    running = engine.submit(photo(1))
    assert held.busy.acquire(timeout=5)
    waiting, cancelled = engine.submit(photo(2)), engine.submit(photo(3))
    cancelled.cancel()
    closing = threading.Thread(target=engine.close)
    closing.start()
    with pytest.raises(RuntimeUnavailable, match="shutting down"):
        waiting.result(5)
    held.gate.set()
    closing.join(5)
    assert not closing.is_alive()
    assert running.result(0) is not None
    with pytest.raises(CancelledError):
        cancelled.result(0)


def test_many_callers_at_once(held: Held) -> None:
    engine = Engine(BUNDLE, lambda: held, workers=4)
    engine.start()
    futures: list[Future[Inference]] = []
    callers = [
        threading.Thread(target=lambda: futures.extend([engine.submit(photo(1)) for _ in range(50)])) for _ in range(8)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(futures) == 400
    for future in futures:
        future.result(10)
    engine.close()


def forget(held: Held) -> None:
    """Reset what it has seen."""
    held.seen.clear()
    while held.busy.acquire(blocking=False):
        pass


class Alone(Held):
    """A runtime that notes which photos it had the machine for."""

    detects_alone = True

    def __init__(self) -> None:
        super().__init__()
        self.alone: list[int] = []

    def detect_alone(self, pixels: np.ndarray) -> Detections:
        """Notes the photo."""
        self.alone.append(int(pixels[0, 0, 0]))
        return self.detect(pixels)


def test_a_lone_photo_gets_all_cores_and_goes_to_the_first_worker() -> None:
    first, second = Alone(), Alone()
    engine = Engine(BUNDLE, lambda: second, load_first=lambda: first, workers=2)
    engine.start()
    for held in (first, second):
        forget(held)
        held.alone.clear()
    for number in (1, 2, 3, 9):
        while engine.queue.idle < 2:
            time.sleep(0.001)
        engine.submit(photo(number), alone=number < 9).result(5)
    assert (first.alone, first.seen, second.seen) == ([1, 2, 3], [1, 2, 3, 9], [])
    forget(first)
    first.gate.clear()
    while engine.queue.idle < 2:
        time.sleep(0.001)
    held_up = engine.submit(photo(4))
    assert first.busy.acquire(timeout=5)
    engine.submit(photo(5)).result(5)
    first.gate.set()
    held_up.result(5)
    assert (second.seen, second.alone, first.alone[3:]) == ([5], [], [4])
    engine.close()


def test_photos_that_wait_are_not_alone() -> None:
    runtime = Alone()
    engine = Engine(BUNDLE, lambda: runtime)
    engine.start()
    forget(runtime)
    runtime.alone.clear()
    runtime.gate.clear()
    futures = [engine.submit(photo(1))]
    assert runtime.busy.acquire(timeout=5)
    futures += [engine.submit(photo(number)) for number in (2, 3)]
    runtime.gate.set()
    for future in futures:
        future.result(5)
    assert runtime.alone == [1, 3]
    engine.close()


class Batching(Held):
    """A runtime with batches of three photos."""

    batch_size = 3

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[int]] = []

    def detect_batch(self, photos: Sequence[np.ndarray]) -> list[Detections]:
        """Notes the batch; each photo's box is as high as its number says."""
        self.batches.append([int(pixels[0, 0, 0]) for pixels in photos])
        if 13 in self.batches[-1]:
            raise ValueError("unlucky")
        boxes = [np.array([[0, 0, int(pixels[0, 0, 0]) / 100, 1]], np.float32) for pixels in photos]
        return [Detections(box, np.ones(1), np.ones(1)) for box in boxes]


def test_only_the_first_worker_warms_detect_alone() -> None:
    first, second = Alone(), Alone()
    with closing(Engine(BUNDLE, lambda: second, load_first=lambda: first, workers=2)) as engine:
        engine.start()
    assert (len(first.seen), len(first.alone)) == (2 * WARM_UP_RUNS, WARM_UP_RUNS)
    assert (len(second.seen), len(second.alone)) == (WARM_UP_RUNS, 0)


def test_a_runtime_with_batches_warms_them(batching: Batching) -> None:
    with closing(Engine(BUNDLE, lambda: batching)) as engine:
        engine.start()
    assert (len(batching.seen), batching.batches) == (WARM_UP_RUNS, [[0, 0, 0]] * WARM_UP_RUNS)


@pytest.fixture
def batching() -> Batching:
    return Batching()


def batching_engine(batching: Batching, **options: float) -> Engine:
    """A started engine whose runtime is at work on a photo, until its gate is opened."""
    engine = Engine(BUNDLE, lambda: batching, **options)
    engine.start()
    batching.batches.clear()
    forget(batching)
    batching.gate.clear()
    engine.submit(photo(1))
    assert batching.busy.acquire(timeout=5)
    return engine


def test_photos_that_wait_together_are_detected_in_one_batch(batching: Batching) -> None:
    engine = batching_engine(batching)
    futures = [engine.submit(photo(number)) for number in (20, 30, 40, 50, 60)]
    futures[1].cancel()
    batching.gate.set()
    for number, future in ((20, futures[0]), (40, futures[2]), (50, futures[3])):
        assert future.result(5).detections.boxes[0, 2] == pytest.approx(number / 100)
    futures[4].result(5)
    assert (batching.batches, batching.seen) == ([[20, 40, 50]], [1, 60])
    engine.close()


def test_a_failing_batch_does_not_end_the_worker(batching: Batching) -> None:
    engine = batching_engine(batching)
    futures = [engine.submit(photo(number)) for number in (13, 14)]
    batching.gate.set()
    for future in futures:
        with pytest.raises(ValueError, match="unlucky"):
            future.result(5)
    assert len(engine.submit(photo(2)).result(5).detections) == 0
    engine.close()


def test_a_batch_waits_for_more_photos_but_a_lone_photo_does_not(batching: Batching) -> None:
    engine = batching_engine(batching, batch_wait_s=0.5)
    futures = [engine.submit(photo(number)) for number in (2, 3)]
    batching.gate.set()
    # The photo at work was not met by others when it was taken up; these two go together without waiting.
    assert futures[0].result(0.4) is not None
    futures = [engine.submit(photo(4))]
    time.sleep(0.1)
    assert not futures[0].done()
    futures += [engine.submit(photo(number)) for number in (5, 6)]
    assert futures[2].result(0.3) is not None
    assert batching.batches == [[2, 3], [4, 5, 6]]
    assert engine.submit(photo(7)).result(5).queue_ms > 400
    assert engine.submit(photo(8)).result(5).queue_ms < 400
    engine.close()
