"""Plans, from a core of which everything is known."""

import pytest

from benchmarks.scale.plan import SPARE, Instance, Measured, plan
from benchmarks.scale.queueing import Model

MEASURED = Measured(Model((0.05,), 0.0, 1), balancer_per_s=5000, photo_bytes=1_000_000)
ASKED = {"rate": 100.0, "photo_bytes": 1e6, "gbit": 10.0}


def test_the_figures_follow_from_the_machines() -> None:
    found = plan(MEASURED, Instance("four", 4, 0.2), **ASKED, p95_s=0.1)
    needed = found["machines"] - SPARE
    assert found["simulated"] is True
    assert needed >= 2, "5 cores are busy"
    assert found["p95_ms"] <= 100
    assert found["use"] == pytest.approx(5 / 4 / needed, abs=0.01)
    assert found["money_per_hour"] == pytest.approx(0.2 * found["machines"])
    assert found["money_per_million_photos"] == pytest.approx(0.2 * found["machines"] / 360_000 * 1e6, abs=0.01)
    assert found["balancer_gbit_per_s"] == pytest.approx(0.8)
    assert (found["balancers"], found["balancer_saturates_at_per_s"]) == (1, {"one core": 5000, "network": 1250})


def test_a_goal_that_is_closer_to_the_time_of_one_photo_needs_more_machines() -> None:
    instance = Instance("one", 1, 0.05)
    loose, tight = (plan(MEASURED, instance, **ASKED, p95_s=goal)["machines"] for goal in (0.5, 0.06))
    assert loose < tight


def test_faster_cores_and_a_network_that_is_full() -> None:
    slow, fast = (
        plan(MEASURED, Instance("x", 1, 0.05, speed), rate=100, p95_s=0.2, photo_bytes=1e7, gbit=1)
        for speed in (1.0, 2.0)
    )
    assert fast["machines"] < slow["machines"]
    assert slow["balancers"] == 10, "8 Gbit/s over balancers of 0.8"


def test_a_goal_below_the_time_of_one_photo_is_refused() -> None:
    with pytest.raises(ValueError, match="40 ms is less than a photo takes"):
        plan(MEASURED, Instance("x", 4, 0.1), **ASKED, p95_s=0.04)


def test_what_measure_wrote_is_read() -> None:
    figures = {
        "work_ms": [50.0],
        "latency_ms": 0.0,
        "at_a_time": 1,
        "photo_bytes": 1_000_000,
        "balancer": {"calculated_per_s_and_core": 5000},
    }
    assert Measured.from_dict(figures) == MEASURED
