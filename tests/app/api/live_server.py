"""A real server in a thread, a stand-in for its detector, and photos to send to it."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from PIL import Image

from app.api import create_app
from app.api.problems import BY_SLUG
from app.api.protocol import Protocol
from app.detector.bundle import write_manifest
from app.detector.detections import Detections
from app.detector.runtimes import Runtime
from app.records.audit import verify
from app.settings import Settings
from tests.app.detector.stand_ins import manifest

MODEL = "stand-in"


class StandIn(Runtime):
    """A runtime that finds four teeth, two of them carious, on every photo, and waits or fails on request.

    Attributes:
        gate: detections wait until it is set.
        calls: how many photos were worked on, warm-up included.
    """

    name = "litert"
    device = "cpu"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.calls = 0
        self.failure: Exception | None = None

    def detect(self, pixels: np.ndarray) -> Detections:
        """Four boxes of fixed scores."""
        self.calls += 1
        assert self.gate.wait(30)
        if self.failure is not None:
            raise self.failure
        boxes = [[0.1, left, 0.6, left + 0.2] for left in (0.05, 0.3, 0.55, 0.78)]
        return Detections(np.array(boxes, np.float32), np.array([0.9, 0.8, 0.61237, 0.45]), np.array([1, 2, 2, 1]))


def write_bundle(folder: Path, *, name: str = MODEL, version: int = 1, **keys: Any) -> Path:
    """A bundle without model files that any reader accepts; further keys of its manifest by keyword.

    With `operating_points`, the default one is `balanced`.
    """
    path = folder / name / str(version)
    path.mkdir(parents=True)
    (path / "MODEL_CARD.md").write_text(f"# {name} {version}\n\nNot a medical device.\n", encoding="utf-8")
    content = manifest(name, version)
    if "operating_points" in keys:
        content["operating_point"]["name"] = "balanced"
    write_manifest(path, content | keys)
    return path


POINTS: dict[str, dict[str, Any]] = {
    "balanced": {
        **{"score_threshold": 0.5, "sensitivity": 0.8, "precision": 0.6, "f1": 0.7, "false_positives_per_image": 1.5},
        **{"photo_sensitivity": 0.94, "photo_specificity": 0.8, "photos_cleared": 0.04, "not_assessable": 0.02},
        **{"goal": "highest mean F1", "is_reached": True},
        "by_source": {
            "clinic": {
                **{"photos": 408, "sensitivity": 0.8, "precision": 0.6, "f1": 0.7, "false_positives_per_image": 1.5},
                **{"photo_sensitivity": 0.94, "photo_specificity": None, "photos_cleared": 0.04},
                **{"not_assessable": 0.02},
            }
        },
    },
    "specific": {"score_threshold": 0.7, "sensitivity": 0.6, "false_positives_per_image": 0.5},
}
"""Operating points of a bundle whose default one is `balanced`."""

_FIGURES = {"sensitivity": [0.9, 0.5], "false_positives_per_image": [2.5, 1], "photo_sensitivity": [1, 0.8]}
CURVE = {
    "score_thresholds": [0.2, 0.6],
    "sources": {"clinic": {**_FIGURES, "photo_specificity": None}},
    "mean": {**_FIGURES, "photo_specificity": [0.1, 0.9]},
}
"""Figures of such a bundle over its thresholds."""


class Live:
    """A running server."""

    def __init__(self, server: uvicorn.Server, client: httpx.Client, service: Any) -> None:
        self.server = server
        self.client = client
        self.service = service

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server.servers[0].sockets[0].getsockname()[1])

    def wait_until_ready(self) -> None:
        """Wait for the end of the warm-up; TensorFlow's takes long on a busy machine."""
        wait_for(lambda: self.client.get("/health/ready").status_code == 200, seconds=120)

    def metric(self, name: str, **labels: str) -> float:
        """The value of a sample, 0 if there is none."""
        return self.service.metrics.registry.get_sample_value(name, labels) or 0.0


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for the condition; fail after some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@contextmanager
def serving(settings: Settings, **options: Any) -> Iterator[Live]:
    """A server in a thread on a free port."""
    app = create_app(settings, **options)
    config = uvicorn.Config(app, http=Protocol, port=0, log_config=None, log_level="critical", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started or not thread.is_alive())
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield Live(server, client, app.state.service)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the server did not shut down"


def make_photo(width: int = 320, height: int = 240, kind: str = "JPEG", *, light: int = 130) -> bytes:
    """A photo file with enough detail and light, 90 to 170, to be assessable."""
    rows, columns = np.mgrid[:height, :width]
    base = light + 60 * np.sin(columns / 9) * np.cos(rows / 7)
    pixels = np.stack([base + 20, base - 10, base - 20], axis=2).clip(0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def light_of(pixels: np.ndarray) -> int:
    """The `light` of a photo from `make_photo`, to the nearest ten, at any size."""
    return round((float(pixels.mean()) + 10 / 3) / 10) * 10


def assert_problem(response: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """The content of a problem answer, whose shape and headers are checked."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    body: dict[str, Any] = response.json()
    assert list(body) == ["type", "title", "status", "detail"]
    assert body["type"] == f"/problems/{slug}"
    assert body["status"] == status
    assert body["title"] == BY_SLUG[slug].title
    assert body["detail"]
    assert ("retry-after" in response.headers) == (status in (429, 503, 504))
    return body


Start = Callable[..., AbstractContextManager[Live]]
"""Start a ready server; settings by keyword."""


JSON = {"Accept": "application/json"}


def live_models(live: Live) -> list[tuple[str, int, bool]]:
    """Name, version and whether it is the default, for every live model."""
    listed = live.client.get("/models").json()["models"]
    return [(entry["name"], entry["version"], entry["default"]) for entry in listed if entry["live"]]


def answered_by(live: Live, photo: bytes, query: str = "") -> tuple[str, int]:
    model = live.client.post(f"/detect{query}", content=photo, headers=JSON).json()["model"]
    return model["name"], model["version"]


def without_timings(response: httpx.Response) -> dict[str, object]:
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    answer.pop("timings_ms")
    return answer


def kept_bytes(live: Live) -> int:
    """Bytes of unfetched pictures."""
    return live.service.screener.admission.pictures.size


def records(folder: Path) -> list[dict]:
    found = verify(folder)
    assert found.findings == []
    return [json.loads(line) for path in sorted(folder.glob("audit-*")) for line in path.read_text().splitlines()]
