"""The measurements behind `app.photo`; their results are in `docs/decisions.md`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import pixels

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_every_library_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["pixels", "--rounds", "1", "--sizes", "800x640"])
    assert pixels.main() == 0
    printed = capsys.readouterr().out
    for subject in ("decode", "resize", "PNG"):
        table = printed.split(f"| {subject} 800x640 |")[1].split("\n\n")[0]
        assert "| app.photo |" in table
        assert "| Pillow" in table
    assert "| simplejpeg 1/2 |" in printed


def test_scaled_decoding_is_compared_with_full(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("pycocotools")
    from benchmarks import scaled_decode

    monkeypatch.setattr(scaled_decode, "MEGAPIXELS", 5.0)
    out = tmp_path / "scaled.json"
    arguments = ["--data", str(ROOT / "examples"), "--photos", "2", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["scaled_decode", *arguments])
    assert scaled_decode.main() == 0
    result = json.loads(out.read_text())
    assert result["difference"] == pytest.approx(result["scaled"] - result["full"])
    assert set(result["precisions"]) == {"float32", "int8"}
    assert 0 < result["full"] <= 1
    assert result["precisions"]["float32"]["scores_apart"]["highest"] > 0, "both decodings gave the same pixels"
