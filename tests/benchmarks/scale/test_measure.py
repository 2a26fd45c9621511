"""Loads, and one layout with the shipped detector for seconds only."""

import shutil
from collections import Counter

import pytest

from benchmarks.scale.fleet import Layout
from benchmarks.scale.measure import Answers, compared, measure_balancer, measure_layout
from benchmarks.scale.queueing import Model, poisson

MODEL = Model((0.04, 0.06), 0.0, 1)
needs_haproxy = pytest.mark.skipif(shutil.which("haproxy") is None, reason="HAProxy is not installed")


def test_a_load_is_compared_with_its_own_arrivals() -> None:
    arrivals = poisson(10, 200, seed=1)
    measured = MODEL.responses_s(arrivals, 1, seed=2)
    answers = Answers(arrivals[::-1], measured[::-1], Counter({200: len(arrivals)}))
    found = compared(answers, MODEL, 1)
    assert found["statuses"] == {"200": len(arrivals)}
    assert abs(found["error"]) < 0.15


@pytest.mark.systems
@needs_haproxy
def test_a_layout_of_two_replicas() -> None:
    figures, model = measure_layout(Layout(2), 3, "int8", MODEL)
    assert figures["layout"] == "2 of one core"
    assert figures["capacity_per_s"] > 0
    assert sum(model.work_s) / len(model.work_s) == pytest.approx(2 / figures["capacity_per_s"], rel=0.01)
    assert [load["use"] for load in figures["held_out"]] == [0.5, 0.65]
    for load in figures["held_out"]:
        assert {"200"} <= set(load["statuses"]) <= {"200", "503"}
        assert load["simulated_p95_ms"] > 0


@pytest.mark.slow
@needs_haproxy
def test_the_balancer_alone() -> None:
    figures = measure_balancer(1)
    assert figures["reached_per_s"] > 0
    assert figures["calculated_per_s_and_core"] == pytest.approx(1000 / figures["cpu_ms_per_photo"], rel=0.01)
