"""A worker's runtime: warm-up, failing photos and processes that die."""

import threading
from contextlib import closing

import pytest

from app.detector.engine import Engine
from app.detector.worker_thread import WARM_UP_RUNS
from tests.app.detector.stand_ins import BUNDLE, Alone, Batching, Held, batching_engine, photo


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


def test_a_failing_batch_does_not_end_the_worker(batching: Batching) -> None:
    engine = batching_engine(batching)
    futures = [engine.submit(photo(number)) for number in (13, 14)]
    batching.gate.set()
    for future in futures:
        with pytest.raises(ValueError, match="unlucky"):
            future.result(5)
    assert len(engine.submit(photo(2)).result(5).detections) == 0
    engine.close()
