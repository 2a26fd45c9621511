"""The comparison of checkouts."""

import pytest

from benchmarks import checkouts, load

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_photos")]


def test_checkouts_are_measured_in_turns(capsys: pytest.CaptureFixture[str]) -> None:
    here = str(load.ROOT)
    assert checkouts.main([here, here, "--clients", "1", "--rounds", "2", "--seconds", "0.5"]) == 0
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head == "| checkout | photos a second | p50 ms | p99 ms | server CPU ms | workers CPU ms |"
    assert len(rows) == 2
    for row in rows:
        a_second, *times = (float(cell) for cell in row.strip("| ").split(" | ")[1:])
        assert a_second > 0.5
        assert all(time > 0 for time in times[:2])
