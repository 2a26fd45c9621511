"""Checks of decoders in separate processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.process_tree import children


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def nothing_left_behind() -> Iterator[None]:
    before, open_before = children("self"), open_files()  # other tests' processes among them
    yield
    assert set(children("self")) <= set(before)
    assert open_files() == open_before
