"""The benchmark of the gateway, with a few photos."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from app.photo.decoding import decode
from benchmarks import gateway, photos
from tests.app.photo.pictures import camera_photo, saved

pydicom = pytest.importorskip("pydicom")


def test_photos_are_alone_in_their_study() -> None:
    made = [gateway.dicom_photo(saved(camera_photo(64, 48), "JPEG"), number) for number in (1, 2)]
    assert decode(made[0]).pixels.shape == (48, 64, 3)
    first, second = (pydicom.dcmread(io.BytesIO(one)) for one in made)
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert first[name].value != second[name].value


@pytest.mark.slow
@pytest.mark.systems
def test_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "CACHE", tmp_path)
    monkeypatch.setattr("sys.argv", ["gateway", "--out", str(tmp_path / "out.json"), "--photos", "4"])
    assert gateway.main() == 0
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["ratio"] == pytest.approx(
        figures["gateway"]["photos_per_s"] / figures["detect"]["photos_per_s"], abs=0.01
    )
    assert 0 < figures["latency"]["p50_ms"] <= figures["latency"]["p99_ms"]
    assert figures["objects"]["report_cpu_ms"] > 0
