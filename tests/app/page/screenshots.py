"""The screenshots of docs/page.md and docs/page.ko.md: `python -m tests.app.page.screenshots`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pylopdf_fonts_ko

from app.settings import Precision, Settings
from tests.app.api.live_server import Live, serving
from tests.app.page.conftest import start_chromium
from tests.app.page.screen import opened
from tests.conftest import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOLDER = ROOT / "docs" / "page"
PHOTOS = sorted((ROOT / "examples" / "img_train").glob("*.jpg"))
LOCALES = {"en": "en-GB", "ko": "ko-KR"}
QUALITY = 82

FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>{folder}</dir>
<cachedir>{cache}</cachedir><alias><family>system-ui</family><prefer><family>Noto Sans KR</family></prefer></alias>
</fontconfig>"""


def take(browser: Browser, live: Live, lang: str) -> None:
    """The page and the report in one language."""
    with opened(browser, live, locale=LOCALES[lang], viewport={"width": 1280, "height": 900}) as screen:
        screen.add(*((photo.name, photo.read_bytes()) for photo in PHOTOS))
        screen.wait_until_done(len(PHOTOS))
        page = screen.page
        page.locator("#marks button").first.focus()
        page.locator("#report article").nth(len(PHOTOS) - 1).wait_for(state="attached")
        page.screenshot(path=FOLDER / f"screening.{lang}.jpg", type="jpeg", quality=QUALITY, full_page=True)
        page.set_viewport_size({"width": 794, "height": 1123})  # A4 at 96 pixels an inch
        page.emulate_media(media="print")
        report = page.locator("#report article").first
        report.screenshot(path=FOLDER / f"report.{lang}.jpg", type="jpeg", quality=QUALITY)


def main() -> None:
    """Write the screenshots."""
    settings = Settings(model_store=ROOT / "model_store", precision=Precision.FLOAT32)
    with tempfile.TemporaryDirectory() as folder, serving(settings) as live:
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
