"""The ML backend of Label Studio over real HTTP, with requests as Label Studio 1.23 sends them."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.records.key_file import KeyFile, Role
from tests.app.api.hostile_server import HostileServer, hostile_server, http
from tests.app.api.live_server import Live, StandIn, Start, assert_problem, make_photo, records

RECORDED = Path(__file__).parents[3] / "data" / "label_studio"


def recorded(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture
def studio(photo: bytes) -> Iterator[HostileServer]:
    """A Label Studio with the photos of the recorded tasks."""
    paths = [task["data"]["image"] for task in recorded("predict")["tasks"]]
    with hostile_server({path: http(photo) for path in paths}) as server:
        yield server


@pytest.fixture
def settings(studio: HostileServer, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "token").write_text("secret")
    return {"label_studio": studio.address, "label_studio_token": tmp_path / "token"}


def predict(live: Live, **changes: Any) -> httpx.Response:
    return live.client.post("/label-studio/predict", json=recorded("predict") | changes)


def test_nothing_is_served_unless_an_address_is_set(live: Live) -> None:
    assert_problem(live.client.get("/label-studio/health"), 404, "not-found")


def test_a_project_is_connected(start: Start, settings: dict[str, Any]) -> None:
    with start(**settings) as live:
        assert live.client.get("/label-studio/health").json()["status"] == "UP"
        assert live.client.post("/label-studio/setup", json=recorded("setup")).json() == {"model_version": "stand-in/1"}
        wrong = live.client.post("/label-studio/setup", json=recorded("setup") | {"schema": "<View/>"})
        assert "RectangleLabels" in assert_problem(wrong, 422, "invalid-parameter")["detail"]
        for body in (b"", b"{}", b"[]", b'{"schema": 1, "access_token": "secret"}'):
            problem = assert_problem(live.client.post("/label-studio/setup", content=body), 422, "invalid-parameter")
            assert "secret" not in problem["detail"]
        event = live.client.post("/label-studio/webhook", json={"action": "ANNOTATION_CREATED", "annotation": {}})
        assert event.json()["status"] == "ignored"
        assert live.client.post("/label-studio/webhook", content=bytes(100)).status_code == 200


def test_tasks_get_rectangle_labels(start: Start, settings: dict[str, Any], studio: HostileServer) -> None:
    with start(**settings) as live:
        answer = predict(live).json()
    assert answer["model_version"] == "stand-in/1"
    assert len(answer["results"]) == len(recorded("predict")["tasks"]) == len(studio.asked) == 2
    for prediction in answer["results"]:
        assert (prediction["model_version"], prediction["score"]) == ("stand-in/1", 0.8)
        first, second = prediction["result"]
        assert second["score"] == 0.6124
        assert first == {
            "id": "box-1",
            "from_name": "label",
            "to_name": "image",
            "type": "rectanglelabels",
            "original_width": 320,
            "original_height": 240,
            "image_rotation": 0,
            "score": 0.8,
            "value": {
                "x": 30.0,
                "y": 10.0,
                "width": 20.0,
                "height": 50.0,
                "rotation": 0,
                "rectanglelabels": ["caries"],
            },
        }


def test_sound_teeth_are_shown_if_the_project_has_a_label(start: Start, settings: dict[str, Any]) -> None:
    config = recorded("predict")["label_config"].replace(
        '<Label value="caries"', '<Label value="normal"/><Label value="caries"'
    )
    with start(**settings) as live:
        prediction = predict(live, label_config=config).json()["results"][0]
    assert [region["value"]["rectanglelabels"] for region in prediction["result"]] == [["normal"], *2 * [["caries"]]]


def test_a_photo_without_an_answer_gets_no_prediction(
    start: Start, settings: dict[str, Any], studio: HostileServer, tmp_path: Path
) -> None:
    studio.answers |= {
        "/data/dark": http(make_photo(light=0)),
        "/data/damaged": http(b"\xff\xd8\xff"),
        "/data/moved": http(b"", "302 Found"),
    }
    tasks = [
        {"id": number, "data": {"image": address}}
        for number, address in enumerate(
            ("/data/dark", "/data/damaged", "/data/moved", "http://evil.example/a.jpg", "/data/nothing")
        )
    ]
    tasks += [{"id": 9, "data": {"text": "a"}}, recorded("predict")["tasks"][0]]
    with start(**settings, audit=tmp_path / "audit") as live:
        *others, last = predict(live, tasks=tasks).json()["results"]
        assert live.metric("caries_problems_total", type="label-studio-failed") == 2
    assert all("result" not in prediction for prediction in others), "an empty one would say that no tooth is carious"
    assert others[0]["verdict"] == "not_assessable"
    assert [prediction["problem"]["type"].rpartition("/")[2] for prediction in others[1:]] == [
        *("unreadable-photo", "label-studio-failed", "invalid-parameter", "label-studio-failed", "invalid-parameter"),
    ]
    assert len(last["result"]) == 2
    *lines, request = records(tmp_path / "audit")
    assert [line["photo"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert (request["route"], request["photos"]) == ("/label-studio/predict", 7)
    assert lines[-1]["verdict"] == "caries_suspected"


def test_tasks_count_as_requests_and_are_limited(start: Start, settings: dict[str, Any]) -> None:
    with start(**settings, requests_per_minute=3) as live:
        task = recorded("predict")["tasks"][0]
        assert_problem(predict(live, tasks=4 * [task]), 413, "batch-too-large")
        assert predict(live).status_code == 200
        assert_problem(predict(live), 429, "too-many-requests")


def test_the_password_is_an_api_key(start: Start, settings: dict[str, Any], tmp_path: Path, photo: bytes) -> None:
    _, key = KeyFile(tmp_path / "keys.json").add("label-studio", Role.DETECT)
    with start(**settings, keys=tmp_path / "keys.json") as live:
        assert live.client.get("/label-studio/health", auth=("anyone", key)).status_code == 200
        assert live.client.get("/label-studio/health", headers={"X-API-Key": key}).status_code == 200
        for auth in (None, ("anyone", "wrong"), (key, "")):
            assert_problem(live.client.get("/label-studio/health", auth=auth), 401, "key-needed")
        for credentials in ("x", "/w=="):
            sent = {"Authorization": f"Basic {credentials}"}
            assert_problem(live.client.get("/label-studio/health", headers=sent), 401, "key-needed")
        assert_problem(live.client.post("/detect", content=photo, auth=("anyone", key)), 401, "key-needed")


def test_addresses_and_tokens_are_not_logged(
    start: Start, settings: dict[str, Any], caplog: pytest.LogCaptureFixture, stand_in: StandIn
) -> None:
    caplog.set_level("DEBUG")
    with start(**settings) as live:
        live.client.post("/label-studio/setup", json=recorded("setup"))
        predict(live)
        predict(live, tasks=[{"id": 1, "data": {"image": "/data/HongGildong.jpg"}}])
    said = "".join(record.getMessage() for record in caplog.records if not record.name.startswith("http"))
    for mark in ("secret", recorded("setup")["access_token"], "Hong", "upload"):
        assert mark not in said


def test_a_slow_label_studio_holds_no_permit(
    start: Start, settings: dict[str, Any], studio: HostileServer, photo: bytes
) -> None:
    asked, let_go = threading.Event(), threading.Event()

    def wait(handler: Any) -> None:
        asked.set()
        let_go.wait(20)
        handler.wfile.write(http(photo))

    studio.answers["/data/slow"] = wait
    with start(**settings, photos_open=2) as live, ThreadPoolExecutor(1) as thread:
        answer = thread.submit(predict, live, tasks=[{"id": 1, "data": {"image": "/data/slow"}}])
        try:
            assert asked.wait(20)
            assert not live.service.screener.admission.batch_photo_permits.locked()
        finally:
            let_go.set()
        assert len(answer.result().json()["results"][0]["result"]) == 2
