"""Health checks and metrics over real HTTP."""

import threading
from pathlib import Path

from app.errors import RuntimeUnavailable
from app.settings import Settings
from tests.app.api.live_server import Live, StandIn, make_photo, serving, wait_for, write_bundle


def test_live_immediately_and_ready_after_warm_up(tmp_path: Path, stand_in: StandIn, photo: bytes) -> None:
    write_bundle(tmp_path)
    stand_in.gate.clear()
    with serving(Settings(model_store=tmp_path), load=lambda *_, **__: stand_in) as live:
        assert live.client.get("/health/live").json() == {"status": "live"}
        wait_for(lambda: stand_in.calls == 1)
        for response in (live.client.get("/health/ready"), live.client.post("/detect", content=photo)):
            assert response.status_code == 503
            assert response.json()["type"] == "/problems/not-ready"
            assert "retry-after" in response.headers
        assert live.client.get("/models").json()["models"][0]["live"] is False
        assert live.metric("caries_ready") == 0
        stand_in.gate.set()
        live.wait_until_ready()
        assert stand_in.calls == 2
        assert live.client.get("/health/ready").json() == {"status": "ready"}
        assert live.metric("caries_ready") == 1


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


def test_metrics_count(live: Live, photo: bytes) -> None:
    live.client.post("/detect", content=photo)
    live.client.post("/detect?format=json", content=photo)
    live.client.post("/detect", content=make_photo(32, 32))
    live.client.post("/detect", content=b"x")
    live.client.get("/no/such/address/of/a/patient")
    live.client.request("PROPFIND", "/detect")
    response = live.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    for line in (
        'caries_requests_total{method="POST",route="/detect",status="200"} 3.0',
        'caries_requests_total{method="POST",route="/detect",status="415"} 1.0',
        'caries_requests_total{method="GET",route="unmatched",status="404"} 1.0',
        'caries_requests_total{method="other",route="/detect",status="405"} 1.0',
        'caries_problems_total{type="unsupported-photo"} 1.0',
        'caries_verdicts_total{verdict="caries_suspected"} 2.0',
        'caries_verdicts_total{verdict="not_assessable"} 1.0',
        'caries_not_assessable_reasons_total{reason="too_small"} 1.0',
        'caries_stage_seconds_count{stage="inference"} 3.0',
        'caries_stage_seconds_count{stage="encode"} 2.0',
        "caries_score_count 6.0",
        "caries_queue_depth 0.0",
        "caries_ready 1.0",
    ):
        assert line in response.text
    assert 'caries_model_info{device="cpu",name="stand-in",runtime="litert"' in response.text
    assert "patient" not in response.text
    assert "PROPFIND" not in response.text
