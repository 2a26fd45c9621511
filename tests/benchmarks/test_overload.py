"""The overload benchmark itself, for some seconds: that it offers what it says and sees what the server does."""

import asyncio

import pytest

from benchmarks.fuzz import serving
from benchmarks.overload import TIMES, Client, closed_loop, measure, open_loop, table

pytestmark = pytest.mark.slow


def test_it_offers_ten_times_the_capacity_and_sees_refusals(monkeypatch) -> None:
    monkeypatch.setattr("benchmarks.overload.MEASURE_S", 2.0)
    # A short queue, so that a machine that is busy with other tests has worked it off in time as well.
    monkeypatch.setattr("benchmarks.overload.PLACES", 8)
    with serving("--photos-open", "4", "--queue", "4") as (port, process):
        for _ in range(3):  # what else runs on the machine may begin in the middle
            result = asyncio.run(measure(port, process.pid, 4.0))
            if result["reached"]["full speed within 2 s"]:
                break
    offered, capacity = result["overload"]["offered_a_second"], result["capacity"]["accepted_a_second"]
    assert 0.5 * TIMES < offered / capacity < 1.2 * TIMES
    assert set(result["overload"]["statuses"]) == {"200", "503"}
    assert result["overload"]["statuses"]["503"] > result["overload"]["statuses"]["200"] > 0
    assert result["reached"]["full speed within 2 s"]
    rows = [line.split(" | ") for line in table(result).splitlines() if line.startswith("| ")]
    assert [len(cells) for cells in rows] == [6] * 4 + [3] * 5
    assert f"{capacity:,.1f}" in rows[1][2]
    assert rows[-1][1:] == ["0", "none |"]


def test_no_answer_is_counted_as_none() -> None:
    async def send_to_nobody() -> tuple[int, int]:
        client = Client(1, b"x")
        closed = await closed_loop(client, 1, 0.05)
        opened = await open_loop(client, 100, 0.2, lambda: None)
        return closed.statuses[0], opened.statuses[0]

    closed, opened = asyncio.run(send_to_nobody())
    assert closed > 0
    assert 15 <= opened <= 25
