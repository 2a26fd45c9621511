"""Order, withdrawal, batches and lone photos."""

import time

import pytest

from app.detector.engine import Engine
from app.detector.photo_queue import Inference
from tests.app.detector.stand_ins import BUNDLE, Alone, Batching, Held, batching_engine, forget, photo


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
