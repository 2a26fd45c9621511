"""The load generator."""

import pytest

from benchmarks import load, photos
from benchmarks.serving import serving

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_photos")]


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
