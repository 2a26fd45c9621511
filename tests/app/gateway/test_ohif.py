"""OHIF shows the photo, the Secondary Capture and the boxes of the report from Debian's Orthanc."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.app.gateway.ohif import drawn_boxes, opened, series, study
from tests.app.page.conftest import browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["browser"]

pytestmark = [
    pytest.mark.systems,
    pytest.mark.skipif(shutil.which("Orthanc") is None, reason="Debian's Orthanc is not installed"),
]


def picture(page: Page, modality: str) -> np.ndarray:
    """The picture of a series, as it is shown."""
    series(page, modality)
    page.wait_for_timeout(3000)
    with Image.open(io.BytesIO(page.locator("canvas.cornerstone-canvas").screenshot())) as shown:
        return np.asarray(shown.convert("RGB"))


def colours(shown: np.ndarray) -> int:
    """Different colours, of eight levels of red, green and blue."""
    return len(np.unique(shown.reshape(-1, 3) // 32, axis=0))


def test_photo_capture_and_boxes_are_shown(tmp_path: Path, browser: Browser) -> None:
    with study(tmp_path) as (url, uid, answer), opened(browser, url, uid) as page:
        photo, capture = picture(page, "XC"), picture(page, "OT")
        assert min(colours(photo), colours(capture)) > 20
        assert (photo != capture).mean() > 0.1
        series(page, "SR")
        boxes = answer["detections"]
        drawn = drawn_boxes(page, len(boxes))
        assert len(drawn) == len(boxes) > 1
        expected = [[found["box"][side] for side in ("xmin", "ymin", "xmax", "ymax")] for found in boxes]
        # The photo is scaled and moved as one.
        shown, given = np.array(sorted(drawn)), np.array(sorted(expected))
        scale = np.ptp(shown[:, 0::2]) / np.ptp(given[:, 0::2])
        moved = shown - scale * given
        assert np.ptp(moved[:, 0::2]) < 2
        assert np.ptp(moved[:, 1::2]) < 2
