"""The server starts fast and stays small; `benchmarks/footprint.py` measures it."""

from benchmarks.footprint import measure


def test_ready_within_three_seconds_and_small() -> None:
    runs = [measure() for _ in range(3)]
    # The best of three: the others may have shared the machine with something else.
    assert min(run["seconds until ready"] for run in runs) < 3
    assert min(run["resident MB"] for run in runs) < 300
