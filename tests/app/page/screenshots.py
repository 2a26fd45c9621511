"""The screenshots of docs/page.md and docs/page.ko.md: `python -m tests.app.page.screenshots`."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pylopdf_fonts_ko

from app.settings import Precision, Settings, StoreLocation
from tests.app.api.live_server import Live, serving
from tests.app.page.conftest import start_chromium
from tests.app.page.screen import opened
from tests.conftest import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOLDER = ROOT / "docs" / "page"
PHOTOS = sorted((ROOT / "examples" / "img_train").glob("*.jpg"))
READER = "Kim"
LOCALES = {"en": "en-GB", "ko": "ko-KR"}
QUALITY = 82

FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>{folder}</dir>
<cachedir>{cache}</cachedir><alias><family>system-ui</family><prefer><family>Noto Sans KR</family></prefer></alias>
</fontconfig>"""


def take(browser: Browser, live: Live, lang: str) -> None:
    """Screening, review and report in one language."""
    viewport = {"width": 1280, "height": 900}
    with opened(browser, live, locale=LOCALES[lang], viewport=viewport, reader=READER) as screen:
        screen.add(*((photo.name, photo.read_bytes()) for photo in PHOTOS))
        screen.wait_until_done(len(PHOTOS))
        page = screen.page
        page.locator("#marks button").first.focus()
        page.locator("#report article").nth(len(PHOTOS) - 1).wait_for(state="attached")
        page.screenshot(path=FOLDER / f"screening.{lang}.jpg", type="jpeg", quality=QUALITY, full_page=True)
        for photo in PHOTOS:
            answer = live.client.post(f"/reviews/photos?reader={READER}&view=front", content=photo.read_bytes())
            answer.raise_for_status()
        page.click("#to-review")
        page.locator("#edit-viewer g.a9s-annotation").first.wait_for(state="attached")
        page.locator("#teeth button").first.click()
        page.locator("#edit-viewer .framed").wait_for(state="attached")
        page.screenshot(path=FOLDER / f"review.{lang}.jpg", type="jpeg", quality=QUALITY, full_page=True)
        page.click("#to-screening")
        page.set_viewport_size({"width": 794, "height": 1123})  # A4 at 96 pixels an inch
        page.emulate_media(media="print")
        report = page.locator("#report article").first
        report.screenshot(path=FOLDER / f"report.{lang}.jpg", type="jpeg", quality=QUALITY)


def main() -> None:
    """Write the screenshots."""
    with contextlib.ExitStack() as running:
        folder = running.enter_context(tempfile.TemporaryDirectory())
        reviews = StoreLocation(Path(folder) / "reviews", None)
        settings = Settings(model_store=ROOT / "model_store", precision=Precision.FLOAT32, reviews=reviews)
        live = running.enter_context(serving(settings))
        # The same font everywhere, with Hangul.
        fonts = Path(folder) / "fonts.conf"
        fonts.write_text(FONTS.format(folder=Path(pylopdf_fonts_ko.sans_path()).parent, cache=folder))
        os.environ["FONTCONFIG_FILE"] = str(fonts)
        live.wait_until_ready()
        FOLDER.mkdir(exist_ok=True)
        with start_chromium() as browser:
            for lang in LOCALES:
                take(browser, live, lang)


if __name__ == "__main__":
    main()
