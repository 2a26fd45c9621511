"""Readiness and reloads of one application, and metrics that no other shares."""

import threading
from pathlib import Path

from app.errors import RuntimeUnavailable
from app.settings import Settings
from tests.app.api.live_server import StandIn, Start, serving, write_bundle


def test_reload_before_the_warm_up(tmp_path: Path, stand_in: StandIn) -> None:
    write_bundle(tmp_path)
    stand_in.gate.clear()
    with serving(Settings(model_store=tmp_path), load=lambda *_, **__: stand_in) as live:
        assert live.client.post("/models/reload").status_code == 503
        stand_in.gate.set()


def test_detector_that_cannot_be_loaded(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    told = threading.Event()

    def load(*_: object, **__: object) -> StandIn:
        raise RuntimeUnavailable("no such runtime")

    with serving(Settings(model_store=tmp_path), load=load, on_failure=told.set) as live:
        assert told.wait(10)
        response = live.client.get("/health/ready")
        assert response.status_code == 503
        assert "log" in response.json()["detail"]
        assert live.client.get("/health/live").status_code == 200


def test_applications_do_not_share_metrics(start: Start, photo: bytes) -> None:
    with start() as first, start() as second:
        first.client.post("/detect", content=photo)
        assert second.metric("caries_verdicts_total", verdict="caries_suspected") == 0
