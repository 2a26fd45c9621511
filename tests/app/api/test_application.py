"""Health, models, metrics and the description over real HTTP."""

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from app.errors import RuntimeUnavailable
from app.settings import Settings
from tests.app.api.live_server import Live, StandIn, Start, make_photo, serving, wait_for, write_bundle


def test_live_at_once_and_ready_after_the_warm_up(tmp_path: Path, stand_in: StandIn, photo: bytes) -> None:
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
        assert stand_in.calls == 4, "two each of `detect` and of `detect_alone`"
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


def test_empty_store(tmp_path: Path) -> None:
    told = threading.Event()
    with serving(Settings(model_store=tmp_path), on_failure=told.set) as live:
        assert told.wait(10)
        assert live.client.get("/models").json() == {"models": []}


def test_models_and_cards(start: Start, tmp_path: Path) -> None:
    write_bundle(tmp_path, version=2)
    broken = write_bundle(tmp_path, name="broken")
    (broken / "bundle.json").write_text("{", encoding="utf-8")
    with start(model="stand-in", model_version=1) as live:
        listed = live.client.get("/models").json()["models"]
        found = [(entry["name"], entry["version"], entry["live"], entry["usable"]) for entry in listed]
        assert found == [("broken", 1, False, False), ("stand-in", 1, True, True), ("stand-in", 2, False, True)]
        assert (listed[1]["runtime"], listed[1]["device"]) == ("litert", "cpu")
        assert [entry["default"] for entry in listed] == [False, True, False]
        assert listed[1]["classes"] == {"1": "normal", "2": "caries"}
        assert listed[1]["operating_point"]["score_threshold"] == 0.5
        for entry in listed[1:]:
            card = live.client.get(entry["card"])
            assert card.headers["content-type"].startswith("text/markdown")
            assert card.text.startswith(f"# stand-in {entry['version']}")
        assert live.client.get("/models/stand-in/card").text.startswith("# stand-in 1")
        assert live.client.get("/models/broken/card").status_code == 503
        for address, status in (
            ("/models/nothing/card", 404),
            ("/models/stand-in/card?version=3", 404),
            ("/models/stand-in/card?version=0", 422),
            ("/models/stand-in/card?verson=1", 422),
            ("/models/..%2f..%2fetc/card", 404),
            ("/models?x=1", 422),
        ):
            response = live.client.get(address)
            assert response.status_code == status, address
            assert response.headers["content-type"] == "application/problem+json"
            assert str(tmp_path) not in response.text


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


def test_description(live: Live) -> None:
    description = live.client.get("/openapi.json").json()
    assert "Not a medical device" in description["info"]["description"]
    detect = description["paths"]["/detect"]["post"]
    assert {parameter["name"] for parameter in detect["parameters"]} == {
        *("threshold", "max_boxes", "classes", "lang", "format", "model")
    }
    assert set(detect["requestBody"]["content"]) >= {"multipart/form-data", "image/*"}
    answers = detect["responses"]["200"]["content"]
    assert set(answers) == {"application/json", "image/png", "image/jpeg", "image/webp"}
    assert answers["application/json"]["example"]["verdict"]
    for address in ("/docs", "/"):
        response = live.client.get(address, follow_redirects=True)
        assert response.status_code == 200
        assert "swagger" in response.text


def test_applications_do_not_share_metrics(start: Start, photo: bytes) -> None:
    with start() as first, start() as second:
        first.client.post("/detect", content=photo)
        assert second.metric("caries_verdicts_total", verdict="caries_suspected") == 0


@pytest.mark.parametrize("module", ["app.api", "app.cli", "app.detect_folder"])
def test_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'tensorflow', 'ai_edge_litert', 'tqdm'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_docs_page_needs_no_internet(start: Start) -> None:
    with start() as live:
        page = live.client.get("/docs").text
        addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert any(address.endswith(".js") for address in addresses)
        for address in addresses:
            assert address.startswith("/"), address
            assert live.client.get(address).status_code == 200
