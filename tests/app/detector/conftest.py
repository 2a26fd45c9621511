"""Engines on a runtime that a test can hold up."""

from collections.abc import Iterator

import pytest

from app.detector.engine import Engine
from app.detector.worker_thread import WARM_UP_RUNS
from tests.app.detector.stand_ins import BUNDLE, Batching, Held


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


@pytest.fixture
def batching() -> Batching:
    return Batching()
