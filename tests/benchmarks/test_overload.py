"""The overload benchmark, for some seconds: it offers the stated load and records the answers."""

import asyncio

import pytest

from benchmarks.overload import TIMES, Client, closed_loop, measure, open_loop, table
from benchmarks.serving import serving

pytestmark = pytest.mark.slow


def test_it_offers_ten_times_the_capacity_and_records_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.overload.MEASURE_S", 2.0)
    # A short queue, which even a machine busy with other tests works off in time.
    monkeypatch.setattr("benchmarks.overload.CAPACITY_CLIENTS", 8)
    with serving("--photos-open", "4", "--queue", "4") as server:
        for _ in range(3):  # other work on the machine may start in the middle
            result = asyncio.run(measure(server, 4.0))
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


def test_a_failed_connection_is_counted_as_status_0() -> None:
    async def send_without_server() -> tuple[int, int]:
        client = Client(1, b"x")
        closed = await closed_loop(client, 1, 0.05)
        opened = await open_loop(client, 100, 0.2, lambda: None)
        return closed.statuses[0], opened.statuses[0]

    closed, opened = asyncio.run(send_without_server())
    assert closed > 0
    assert 15 <= opened <= 25
