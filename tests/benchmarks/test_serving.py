"""Servers to measure."""

import os

import pytest

from benchmarks.serving import serving

pytestmark = pytest.mark.slow


def test_a_server_can_be_limited_to_one_core() -> None:
    allowed = os.sched_getaffinity(0)
    with serving(cores={min(allowed)}) as server:
        assert os.sched_getaffinity(server.pid) == {min(allowed)}
        assert os.sched_getaffinity(0) == allowed
