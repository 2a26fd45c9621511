"""Start, end and callers of the engine, on a runtime that can be held up and made to fail."""

import asyncio
import threading
from concurrent.futures import CancelledError, Future

import pytest

from app.detector.engine import Engine
from app.detector.photo_queue import Inference
from app.detector.worker_thread import WARM_UP_RUNS
from app.errors import RuntimeUnavailable
from tests.app.detector.stand_ins import BUNDLE, Held, photo


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
