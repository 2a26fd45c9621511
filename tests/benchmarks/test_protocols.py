"""The benchmark of the protocols, with few pairs."""

import json
from contextlib import nullcontext

import pytest

from benchmarks import protocols
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


@pytest.mark.parametrize(("more_ms", "status"), [(0.9, 0), (1.1, 1)])
def test_more_than_the_goal_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more_ms: float, status: int
) -> None:
    monkeypatch.setattr(protocols, "serving", nullcontext)
    monkeypatch.setattr(protocols, "measure", lambda server, photo, pairs: {"pairs": pairs, "more_ms": more_ms})
    monkeypatch.setattr("sys.argv", ["protocols", "--pairs", "7"])
    assert protocols.main() == status
    assert json.loads(capsys.readouterr().out) == {"pairs": 7, "more_ms": more_ms}
