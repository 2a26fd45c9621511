"""The benchmark of the protocols, with few pairs."""

import pytest

from benchmarks.protocols import PHOTO, measure
from benchmarks.serving import serving

pytestmark = pytest.mark.slow


def test_it_reports_both_medians_and_their_difference() -> None:
    with serving() as server:
        figures = measure(server, PHOTO.read_bytes(), 3)
    assert list(figures) == ["pairs", "detect_ms", "infer_ms", "more_ms"]
    assert figures["pairs"] == 3
    assert figures["detect_ms"] > 0
    assert abs(figures["more_ms"]) < 1000
