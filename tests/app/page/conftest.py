"""Chromium and a server for the tests of the page."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.settings import Precision, Settings, StoreLocation
from tests.app.api.live_server import CURVE, POINTS, Live, StandIn, serving, write_bundle

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PROGRAM = "chromium"
TIMEOUT_MS = 60_000
"""Long enough for a machine that also does other work."""


@contextmanager
def start_chromium() -> Iterator[Browser]:
    """A headless Chromium, as Debian installs it."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=shutil.which(PROGRAM))


@pytest.fixture
def clinic(tmp_path: Path, stand_in: StandIn) -> Iterator[Live]:
    """A server whose bundle has operating points and a curve."""
    write_bundle(tmp_path, operating_points=POINTS, curve=CURVE)
    with serving(Settings(model_store=tmp_path, precision=Precision.FLOAT32), load=lambda *_, **__: stand_in) as live:
        live.wait_until_ready()
        yield live


@pytest.fixture
def reviewing(tmp_path: Path, stand_in: StandIn) -> Callable[..., AbstractContextManager[Live]]:
    """Start such a server with an empty review store; further settings by keyword."""
    write_bundle(tmp_path, operating_points=POINTS, curve=CURVE)

    @contextmanager
    def begin(**settings: Any) -> Iterator[Live]:
        reviews = StoreLocation(tmp_path / "reviews", None)
        made = Settings(model_store=tmp_path, precision=Precision.FLOAT32, reviews=reviews, **settings)
        with serving(made, load=lambda *_, **__: stand_in) as live:
            live.wait_until_ready()
            yield live

    return begin


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """See `start_chromium`.

    It ends with its module: Playwright keeps an event loop running in the thread of the tests, where `asyncio.run` of a
    later test would fail.
    """
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if shutil.which(PROGRAM) is None:
        pytest.skip("Chromium is not installed")
    with start_chromium() as started:
        yield started
