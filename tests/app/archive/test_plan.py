"""Every photo belongs to one shard."""

import pytest

from app.archive.plan import Plan, shard_name
from app.errors import OutputError


def test_an_extended_plan_keeps_its_shards_and_repeats_no_photo() -> None:
    first = Plan({"model": "a"}).extended(["1", "2", "3"], 2)
    assert first.shards == (("1", "2"), ("3",))
    second = first.extended(["0", "1", "2", "3", "4"], 2)
    assert second.shards == (("1", "2"), ("3",), ("0", "4"))
    assert (second.asked, second.photos) == ({"model": "a"}, 5)
    assert second.extended(["4", "2"], 9) == second


def test_another_question_needs_another_folder() -> None:
    plan = Plan({"model": "a 1", "threshold": 0.5})
    plan.check_same({"threshold": 0.5, "model": "a 1"}, "out")
    with pytest.raises(OutputError, match=r"^out has results with threshold 0\.5, not threshold None; choose another"):
        plan.check_same({"model": "a 1"}, "out")


def test_shards_sort_by_number() -> None:
    assert shard_name(12) == "shard-00012"
