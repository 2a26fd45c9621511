"""Servers over real HTTP, with the shipped bundle or with a stand-in for the detector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from app.detector.bundle import Bundle
from app.settings import RuntimeKind, Settings
from tests.app.api.live_server import Live, StandIn, Start, make_photo, serving, write_bundle


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
        made = Settings(model_store=tmp_path, **settings)
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
    with serving(Settings(model_store=shipped_bundle.path.parents[1], runtime=RuntimeKind(request.param))) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A JPEG of 320x240 pixels."""
    return make_photo()
