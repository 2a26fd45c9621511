"""The report, from the figures of the floor and invented ones of a server and a peer."""

import json
from pathlib import Path

import pytest

from benchmarks import photos, report
from benchmarks.floor import FloorProcesses, measure

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_photos")]


def test_the_floor_and_the_report(tmp_path: Path) -> None:
    floor = measure(1, seconds=0.01)
    stages = floor["stages"]["640x480"]
    assert stages["inference, int8, 1 thread"]["ms"] > stages["resize"]["ms"] > 0
    data = photos.rendered(photos.SMALL)[0].read_bytes()
    with FloorProcesses(1, 1) as floor_process:
        bare = floor_process.run("json", data, 0.3)
    assert bare["p50_ms"] == pytest.approx(1000 / bare["throughput"], rel=0.5)

    slow = {"throughput": bare["throughput"] / 2, "p50_ms": 9.0, "p99_ms": 10.0, "server_cpu_ms": 1.0}
    detect = {"floor json 640x480 throughput": bare, "json 640x480 8 raw": slow}
    server_figures = {"rounds": 1, "seconds": 0.3, "detect": detect, "start": {"seconds until ready": 1.0}}
    peers = [
        {"peer": "Other", "version": "1", "configuration": "as is", "quick_start": True, "error": "no\nsuch | thing"}
    ]
    for name, figures in {"floor": floor, "server": server_figures, "peers": peers}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(figures))
    found = {goal.name: goal for goal in report.goals({"floor": floor, "server": server_figures, "peers": peers})}
    assert found["JSON, 640x480, 8 clients: throughput at least 0.90 of the floor's"].reached is False
    assert found["JSON, 640x480, 8 clients: p99 at most 2 times p50"].reached is True
    assert found["JSON throughput: ahead of every peer in its best configuration"].reached is None

    out = tmp_path / "RESULTS.md"
    assert report.main(["--results", str(tmp_path), "--out", str(out)]) == 0
    text = out.read_text()
    assert ": 0.500 | **no** |" in text
    assert "| start to ready: at most 1.5 s | 1.00 s | yes |" in text
    assert "not measured: scaled_decode" in text
    assert "does not run here: no such / thing" in text
