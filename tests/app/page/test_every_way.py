"""Sign-in, keeping, correcting, blind reading, settling and agreement by mouse, touch and keyboard, at every size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("alembic", reason="the extra reviews is not installed")

from app.records.key_file import KeyFile, Role
from app.settings import Blind
from tests.app.api.live_server import make_photo
from tests.app.page.screen import Screen, opened
from tests.app.page.test_review_matrix import is_wider_than_the_window
from tests.app.page.test_review_page import Reviewing
from tests.app.page.test_screening_matrix import SIZES, size

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

pytestmark = pytest.mark.systems

MAX_TABS = 150

NEXT_KEY = """element => {
    const now = document.activeElement;
    if (now === element) return null;
    return now.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_PRECEDING ? "Shift+Tab" : "Tab";
}"""


class Hand:
    """One way to use the page: `mouse`, `touch` or `keyboard`."""

    def __init__(self, screen: Screen, way: str) -> None:
        self.screen = screen
        self.page = screen.page
        self.way = way

    def press(self, selector: str) -> None:
        """Use a button or a link."""
        from playwright.sync_api import expect

        target = self.page.locator(selector).first
        expect(target).to_be_visible()
        expect(target).to_be_enabled()
        if self.way == "mouse":
            target.click()
        elif self.way == "touch":
            target.tap()
        else:
            self._reach(target)
            self.page.keyboard.press("Enter")

    def type(self, selector: str, text: str) -> None:
        """Type into a field."""
        target = self.page.locator(selector)
        if self.way == "keyboard":
            self._reach(target)
        else:
            self.press(selector)
        self.page.keyboard.type(text)

    def choose(self, selector: str, value: str) -> None:
        """Choose from a list; its native pop-up opens for no test."""
        target = self.page.locator(selector)
        if self.way != "keyboard":
            target.select_option(value)
            return
        self._reach(target)
        for _ in range(target.locator("option").count()):
            if target.input_value() == value:
                return
            self.page.keyboard.press("ArrowDown")
        assert target.input_value() == value

    def read_blind(self) -> None:
        """The first tooth is carious, the second is no tooth, the others are sound."""
        if self.way == "keyboard":
            self._reach(self.page.locator("#edit-viewer"))
            for key in ("n", "1", "n", "Delete", "r", "Enter"):
                self.page.keyboard.press(key)
            return
        for number, button in ((1, "#as-caries"), (2, "#delete-box")):
            self.page.locator("#edit-viewer").scroll_into_view_if_needed()
            place = self.screen.middle_of_tooth(number)
            if self.way == "mouse":
                self.page.mouse.click(*place)
            else:
                self.page.touchscreen.tap(*place)
            self.press(button)
        self.press("#rest-sound")
        self.press("#confirm")

    def settle(self) -> None:
        """The first tooth of the list is carious."""
        if self.way == "keyboard":
            self._reach(self.page.locator("#teeth button").first)  # which selects it
            self.page.keyboard.press("1")
            return
        self.press("#teeth button")
        self.press("#as-caries")

    def _reach(self, target: Locator) -> None:
        """By Tab, or Shift and Tab, alone."""
        for _ in range(MAX_TABS):
            key = target.evaluate(NEXT_KEY)
            if key is None:
                return
            self.page.keyboard.press(key)
        raise AssertionError(f"Tab does not reach {target}")


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("locale", ["en-GB", "ko-KR"])
@pytest.mark.parametrize("way", ["mouse", "touch", "keyboard"])
def test_from_sign_in_to_agreement(
    reviewing: Reviewing, browser: Browser, tmp_path: Path, way: str, locale: str, name: str
) -> None:
    from playwright.sync_api import expect

    file = KeyFile(tmp_path / "keys.json")
    kim, lee, desk = (file.add(reader, Role.REVIEW)[1] for reader in ("kim", "lee", "desk"))
    options = size(name) | {"has_touch": way == "touch"}
    with reviewing(keys=tmp_path / "keys.json", reviews_blind=Blind.UNCLASSED) as live:
        by = [{"Authorization": f"Bearer {key}"} for key in (desk, lee)]
        assert live.client.post("/reviews/photos", content=make_photo(), headers=by[0]).status_code == 201
        body = {"version": 0, "verdict": "sound", "boxes": []}
        assert live.client.put("/reviews/photos/1/reading", json=body, headers=by[1]).status_code == 200
        with opened(browser, live, signed_in=False, locale=locale, **options) as screen:
            page, hand = screen.page, Hand(screen, way)
            assert screen.barriers() == []
            hand.type("#key", kim)
            hand.press("#sign-in-form .primary")
            expect(page.locator("#account-name")).to_have_text("kim")

            screen.add(("a.jpg", make_photo(light=110)))
            screen.wait_until_done(1)
            hand.type("#keep-patient", "p-17")
            hand.choose("#keep-view", "side")
            hand.press("#keep-photo")
            expect(page.locator("#keep-state")).to_contain_text({"en-GB": "photo 2", "ko-KR": "사진 2"}[locale])
            kept = live.client.get("/reviews/photos/2", headers=by[1]).json()
            assert (kept["patient"], kept["view"]) == ("p-17", "side")
            assert screen.barriers() == []

            hand.press("#to-review")
            hand.type("#queue-number", "1")
            hand.press("#open-by-number button")
            expect(page.locator("#edit-name")).to_contain_text("1")
            expect(page.locator("#teeth .open")).to_have_count(4)
            expect(page.locator("#others")).to_be_hidden()
            assert screen.barriers() == []
            assert not is_wider_than_the_window(screen)
            hand.read_blind()
            expect(page.locator("#edit-name")).to_contain_text("2")

            hand.choose("#queue-state", "disputed")
            expect(page.locator("#others")).to_contain_text("lee")
            hand.settle()
            assert screen.barriers() == []
            assert not is_wider_than_the_window(screen)
            hand.press("#confirm")
            expect(page.locator("#desk-text")).to_contain_text({"en-GB": "1 done", "ko-KR": "완료 1장"}[locale])
            consensus = live.client.get("/reviews/photos/1", headers=by[1]).json()["consensus"]
            assert [box["class"] for box in consensus["boxes"]] == ["caries", "normal", "normal"]

            hand.press("#to-agreement")
            expect(page.locator("#agreement table").first).to_contain_text("lee")
            assert screen.barriers() == []
            assert not is_wider_than_the_window(screen)
