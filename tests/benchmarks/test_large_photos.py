"""The benchmark of the largest photos, with smaller ones."""

import pytest

from benchmarks.large_photos import measure

pytestmark = pytest.mark.slow


def test_it_reports_statuses_and_memory() -> None:
    result = measure(3, 4_000_000)
    assert result["statuses"] == {"200": 3}
    assert 0 < result["idle_mib"] <= result["peak_mib"] < 1000
