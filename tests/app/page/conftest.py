"""Chromium for the tests of the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """See `start_chromium`."""
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if shutil.which(PROGRAM) is None:
        pytest.skip("Chromium is not installed")
    with start_chromium() as started:
        yield started
