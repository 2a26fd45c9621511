"""The page in a browser, as its tests use it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.app.api.live_server import Live
from tests.app.page.conftest import TIMEOUT_MS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

EXPECTED_ERRORS = re.compile(r"Failed to load resource")
"""What Chromium writes to its console for every refused or broken request."""


class Screen:
    """An open page, by what a person sees and does there."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def add(self, *photos: tuple[str, bytes], selector: str = "#files") -> None:
        """Choose files, by name and content."""
        files = [{"name": name, "mimeType": "", "buffer": data} for name, data in photos]
        self.page.set_input_files(selector, files)  # type: ignore[arg-type]

    def wait_until_done(self, photos: int) -> None:
        """Wait until so many photos are screened or refused, and no others wait."""
        from playwright.sync_api import expect

        expect(self.page.locator("#bar")).to_have_js_property("max", photos)
        expect(self.page.locator("#bar")).to_have_js_property("value", photos)

    def open_photo(self, name: str) -> None:
        self.page.locator("#photos .card", has_text=name).click()

    def marks(self) -> list[str]:
        """The rows of the list, as a screen reader reads them."""
        return [row.get_attribute("aria-label") or "" for row in self.page.locator("#marks button").all()]

    def shapes(self) -> int:
        """Boxes over the photo."""
        return self.page.locator("#viewer .a9s-annotation").count()

    def set_threshold(self, value: float) -> None:
        """Move the slider, as an input of its own."""
        self.page.locator("#threshold").fill(str(value))

    def verdict(self) -> str:
        return self.page.locator("#verdict h3").inner_text()

    def teeth(self) -> list[str]:
        """The rows of the teeth that are corrected."""
        return self.page.locator("#teeth .class").all_inner_texts()

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag with the mouse."""
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=4)
        self.page.mouse.up()

    def touch(self, *steps: tuple[float, float] | tuple[tuple[float, float], ...]) -> None:
        """Touch, move through these places, and let go; a step of several fingers is a tuple of places."""
        session = self.page.context.new_cdp_session(self.page)
        for kind, step in zip(["touchStart"] + ["touchMove"] * (len(steps) - 1), steps, strict=True):
            fingers = [step] if isinstance(step[0], float | int) else step
            places = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(fingers)]  # type: ignore[misc]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})
        self.page.wait_for_timeout(100)  # a finger that does not rest starts a fling, which swallows the next tap
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def middle(self, selector: str) -> tuple[float, float]:
        """The middle of an element, in pixels of the window."""
        box = self.page.locator(selector).first.bounding_box()
        assert box is not None
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def middle_of_tooth(self, number: int) -> tuple[float, float]:
        """The middle of a box that is not selected."""
        return self.middle(f"#edit-viewer g[data-id='{number}'] .a9s-inner")

    def zoom(self) -> float:
        """How many times wider the photo is than its view, or its height than the view's, whichever is more."""
        sides = self.page.evaluate(
            "() => { const [a, b] = ['#viewer', '#viewer .stage']"
            ".map(selector => document.querySelector(selector).getBoundingClientRect());"
            " return [b.width / a.width, b.height / a.height]; }"
        )
        return float(max(sides))

    def download(self, button: str) -> bytes:
        """The file that a button saves."""
        with self.page.expect_download() as info:
            self.page.click(button)
        return info.value.path().read_bytes()

    def saved_json(self) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = json.loads(self.download("#save-json"))["results"]
        return results

    def barriers(self) -> list[str]:
        """What axe finds serious or critical."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [
            f"{violation['id']}: {[node['html'][:120] for node in violation['nodes']]}"
            for violation in found
            if violation["impact"] in ("serious", "critical")
        ]


@contextmanager
def opened(
    browser: Browser,
    live: Live,
    *,
    locale: str = "en-GB",
    reader: str | None = None,
    signed_in: bool = True,
    **options: Any,
) -> Iterator[Screen]:
    """The page in a new context, in which nothing may be reported to the console but refused requests.

    A server without keys knows the `reader` by this name; one with keys asks to sign in.
    """
    errors: list[str] = []
    context = browser.new_context(base_url=f"http://127.0.0.1:{live.port}", locale=locale, **options)
    context.set_default_timeout(TIMEOUT_MS)
    if reader is not None:
        context.add_init_script(f"localStorage['caries.reader'] = {json.dumps(reader)}")
    page = context.new_page()
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto("/")
        first = "#points button" if signed_in else "#sign-in[open]"
        page.locator(first).first.wait_for(state="attached")
        yield Screen(page)
        assert [text for text in errors if not EXPECTED_ERRORS.search(text)] == []
    finally:
        context.close()
