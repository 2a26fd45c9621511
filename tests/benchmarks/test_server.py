"""The speed benchmarks, for seconds each: a real server, a real load, and a report of the figures."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import checkouts, cpu_profile, load, photos, report
from benchmarks.floor import FloorProcesses, measure
from benchmarks.server import in_turns
from benchmarks.serving import serving


@pytest.fixture(scope="module", autouse=True)
def small_photos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An empty cache of photos, and small photos instead of 12 megapixels."""
    pytest.importorskip("scipy", reason="the training environment, which renders photos, is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photos, "CACHE", tmp_path_factory.mktemp("photos"))
        patch.setattr(photos, "SIZES", (photos.SMALL,))
        patch.setattr(photos, "REAL", tmp_path_factory.mktemp("none"))
        patch.setattr(photos.real, "__defaults__", (photos.REAL, 40))
        yield


def test_the_load_generator_counts_answers() -> None:
    (photo,) = photos.rendered(photos.SMALL)
    with serving() as server:
        json_answers = server.measure([photo], clients=2, requests=6, warm_up=1)
        pictures = server.measure([photo], clients=1, requests=2, warm_up=0, accept="image/png", body="multipart")
        refused = server.measure([photo], clients=1, requests=2, warm_up=0, type="text/plain", path="/nowhere")
    assert (json_answers["requests"], json_answers["errors"], json_answers["statuses"]) == (6, 0, {"200": 6})
    assert 0 < json_answers["p50_ms"] <= json_answers["p99_ms"]
    assert json_answers["throughput"] == pytest.approx(6 / json_answers["seconds"], rel=0.02)
    assert json_answers["server_cpu_ms"] > json_answers["client_cpu_ms"] > 0
    assert json_answers["memory_mb"] > 50
    assert pictures["bytes_mean"] > 50_000
    assert (refused["errors"], refused["statuses"]) == (2, {"404": 2})


def test_requests_without_a_server_are_errors() -> None:
    (photo,) = photos.rendered(photos.SMALL)
    figures = load.measure("http://127.0.0.1:1/detect", [photo], requests=2, warm_up=0)
    assert (figures["errors"], figures["statuses"]) == (2, {"0": 2})


def test_a_server_can_be_limited_to_one_core() -> None:
    allowed = os.sched_getaffinity(0)
    with serving(cores={min(allowed)}) as server:
        assert os.sched_getaffinity(server.pid) == {min(allowed)}
        assert os.sched_getaffinity(0) == allowed


def test_conditions_take_turns() -> None:
    order = []

    def condition(name: str) -> Callable[[], dict[str, float]]:
        def run() -> dict[str, float]:
            order.append(name)
            return {"throughput": float(len(order))}

        return run

    figures = in_turns({"a": condition("a"), "b": condition("b")}, 3, quiet=True)
    assert order == ["a", "b"] * 3
    assert figures["a"] == {"throughput": 3.0, "rounds": [1.0, 3.0, 5.0]}


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


def test_a_profile_adds_up_the_time_of_libraries() -> None:
    report = """
# Samples: 3K of event 'cpu-clock'
    42.50%  libpython3.11.so.1.0
    20.00%  _jpeg.cpython-311-x86_64-linux-gnu.so
     7.50%  [kernel.kallsyms]
     0.30%  libscipy_openblas64_-32a4b2a6.so
"""
    found = cpu_profile.shares(report)
    assert found == pytest.approx(
        {"libpython3": 0.425, "_jpeg": 0.2, "[kernel.kallsyms]": 0.075, "libscipy_openblas64_": 0.003}
    )
    assert cpu_profile.table({"server": {"libpython3": 2.0, "_jpeg": 1.0, "libm": 0.01}}).splitlines()[2:] == [
        "| server | all | 3.01 |",
        "| | libpython3 | 2.00 |",
        "| | _jpeg | 1.00 |",
    ]


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
