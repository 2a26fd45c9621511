"""Stand-ins for the detector: of servers over real HTTP and of the `caries` command."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import detect_folder as folder
from app.detector.bundle import Bundle, write_manifest
from app.detector.detections import Detections
from app.detector.engine import build_engine_from_settings
from app.detector.runtimes import Runtime
from app.settings import Precision, RuntimeKind, Settings
from tests.app.api.live_server import Live, StandIn, Start, make_photo, serving, write_bundle
from tests.app.detector.stand_ins import manifest
from tests.app.reviews.databases import location, postgresql  # noqa: F401


@pytest.fixture
def stand_in() -> StandIn:
    """The stand-in detector of this test's servers."""
    return StandIn()


@pytest.fixture
def start(tmp_path: Path, stand_in: StandIn) -> Start:
    """Start a ready server with the stand-in detector; settings by keyword."""
    write_bundle(tmp_path)

    @contextmanager
    def begin(**settings: Any) -> Iterator[Live]:
        made = Settings(model_store=tmp_path, precision=Precision.FLOAT32, **settings)
        with serving(made, load=lambda *_, **__: stand_in) as live:
            live.wait_until_ready()
            yield live

    return begin


@pytest.fixture
def live(start: Start) -> Iterator[Live]:
    """A ready server with the stand-in detector."""
    with start() as running:
        yield running


@pytest.fixture(
    scope="session",
    params=[
        "litert",
        pytest.param(
            "tensorflow",
            marks=pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed"),
        ),
    ],
)
def real(request: pytest.FixtureRequest, shipped_bundle: Bundle) -> Iterator[Live]:
    """A ready server with the shipped bundle, once with each runtime."""
    store, kind = shipped_bundle.path.parents[1], RuntimeKind(request.param)
    with serving(Settings(model_store=store, runtime=kind, precision=Precision.FLOAT32)) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A JPEG of 320x240 pixels."""
    return make_photo()


class ThreeTeeth(Runtime):
    """A runtime that sees three teeth, the second carious; on dark photos three sound ones."""

    name = "litert"
    device = "cpu"

    def detect(self, pixels: np.ndarray) -> Detections:
        """Boxes of fixed scores."""
        second = 2 if pixels.mean() > 110 else 1
        boxes = np.array([[0.1, 0.1, 0.5, 0.3], [0.1, 0.5, 0.5, 0.75], [0.6, 0.6, 0.9, 0.9]], np.float32)
        return Detections(boxes, np.array([0.9, 0.8, 0.7]), np.array([1, second, 1]))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with one bundle, run by the stand-in."""
    for name in [name for name in os.environ if name.startswith("CARIES_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "store" / "stand-in" / "1"
    path.mkdir(parents=True)
    (path / "MODEL_CARD.md").write_text("# stand-in\n", encoding="utf-8")
    write_manifest(path, manifest("stand-in", 1, false_positives_per_image=None))
    build = functools.partial(build_engine_from_settings, load=lambda *_, **__: ThreeTeeth())
    monkeypatch.setattr(folder, "build_engine_from_settings", build)
    monkeypatch.setenv("CARIES_MODEL_STORE", str(tmp_path / "store"))
    return tmp_path / "store"
