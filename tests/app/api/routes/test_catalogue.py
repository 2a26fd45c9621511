"""The list of models and their cards."""

import threading
from pathlib import Path

from app.settings import Settings
from tests.app.api.live_server import CURVE, POINTS, Start, serving, write_bundle


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


def test_operating_points_and_curve(start: Start, tmp_path: Path) -> None:
    write_bundle(tmp_path, version=2, operating_points=POINTS, curve=CURVE)
    with start(operating_point="specific") as live:
        without, entry = live.client.get("/models").json()["models"]
        assert (without["operating_points"], without["curve"], without["operating_point"]["name"]) == ({}, None, None)
        assert entry["operating_point"] == entry["operating_points"]["specific"], "the default of the settings"
        point = entry["operating_points"]["balanced"]
        assert {name: point[name] for name in POINTS["balanced"]} == POINTS["balanced"]
        assert (point["max_boxes"], point["measured_on"]) == (5, "nothing")
        assert live.client.get(entry["curve"]).json() == {"name": "stand-in", "version": 2, "curve": CURVE}
        assert live.client.get("/models/stand-in/curve?version=1").json()["curve"] is None
        for address, status in (("/models/nothing/curve", 404), ("/models/stand-in/curve?version=0", 422)):
            assert live.client.get(address).status_code == status
