"""The list of models, their cards and comparisons."""

import json
import threading
from pathlib import Path
from typing import Any

from app.detector.bundle import comparison_file, read_bundle
from app.settings import Settings
from tests.app.api.live_server import CURVE, POINTS, Start, serving, write_bundle


def test_empty_store(tmp_path: Path) -> None:
    told = threading.Event()
    with serving(Settings(model_store=tmp_path), on_failure=told.set) as live:
        assert told.wait(10)
        assert live.client.get("/models").json() == {"models": [], "refused": []}


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


def keep_comparison(bundle: Path, sha256: str, **keys: Any) -> dict[str, Any]:
    """Of a bundle in a store with the version before it, as the training writes it."""
    version = int(bundle.name)
    old, new = (
        {"name": "stand-in", "version": number, "sha256": digest, "score_threshold": 0.5}
        for number, digest in ((version - 1, "0" * 64), (version, sha256))
    )
    figure = {"old": 0.5, "new": 0.6, "difference": 0.1, "interval": [0.05, 0.15]}
    content = {
        **{"created": "2026-11-30T12:00:00+00:00", "old": old, "new": new, "is_better": True, "reason": "it is"},
        **{"photos": {"clinic": 20}, "left_out": {"trained": 3}, "unlisted": []},
        "figures": {"clinic": {"F1": figure}, "mean": {"F1": figure, "mAP@.5": dict.fromkeys(figure)}},
    }
    comparison_file(bundle).write_text(json.dumps(content | keys), encoding="utf-8")
    return content | keys


def test_comparisons(start: Start, tmp_path: Path) -> None:
    installed, other = (write_bundle(tmp_path, version=version) for version in (2, 3))
    kept = keep_comparison(installed, read_bundle(installed, verify=False).sha256)
    keep_comparison(other, "1" * 64)
    refused = keep_comparison(other.with_name("4"), "2" * 64, is_better=False)
    keep_comparison(other.with_name("5"), "3" * 64, photos="many")
    with start(model="stand-in") as live:
        answer = live.client.get("/models").json()
    assert [entry["comparison"] for entry in answer["models"]] == [None, kept, None], "of this bundle, not its version"
    assert answer["refused"] == [refused], "not one that was better and has left the store since"
