"""Signing in with a key, in Chromium and against a real server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("alembic", reason="the extra reviews is not installed")

from app.records.key_file import KeyFile, Role
from tests.app.api.live_server import make_photo
from tests.app.page.screen import Screen, opened
from tests.app.page.test_review_page import LAPTOP, STANDARD, Reviewing

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow


@pytest.fixture
def key_file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


def sign_in(screen: Screen, key: str) -> None:
    screen.page.fill("#key", key)
    screen.page.keyboard.press("Enter")


def test_sign_in_an_ended_session_and_sign_out(
    reviewing: Reviewing, browser: Browser, key_file: KeyFile, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    key = key_file.add("kim", Role.REVIEW)[1]
    with (
        reviewing(keys=tmp_path / "keys.json") as live,
        opened(browser, live, signed_in=False, viewport=LAPTOP) as screen,
    ):
        page = screen.page
        expect(page.locator("#sign-in")).to_contain_text("This server needs an API key.")
        assert screen.barriers() == []
        sign_in(screen, "caries_00000000_wrong")
        expect(page.locator("#sign-in-error")).to_contain_text("A valid API key is required")
        sign_in(screen, key)
        expect(page.locator("#account-name")).to_have_text("kim")
        screen.add(("a.jpg", make_photo()))
        screen.wait_until_done(1)
        page.click("#keep-photo")
        page.click("#keep-state a")
        expect(page.locator("#teeth .class")).to_have_text(STANDARD)

        # The session ends while a note is typed: it is asked for again, and nothing is lost.
        page.fill("#note", "upper left")
        page.context.clear_cookies()
        page.click("#confirm")
        expect(page.locator("#sign-in")).to_contain_text("The session of kim has ended.")
        sign_in(screen, key)
        expect(page.locator("#desk-text")).to_contain_text("1 done")
        headers = {"Authorization": f"Bearer {key}"}
        reading = live.client.get("/reviews/photos/1", headers=headers).json()["reading"]
        assert (reading["reader"], reading["note"]) == ("kim", "upper left")
        assert page.evaluate("document.cookie") == ""

        page.click("#account summary")
        page.click("#sign-out-everywhere")
        expect(page.locator("#sign-in")).to_be_visible()
        expect(page.locator("#photos li")).to_have_count(0)


@pytest.mark.systems
def test_a_key_that_may_not_review_corrects_for_download(
    reviewing: Reviewing, browser: Browser, key_file: KeyFile, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    key = key_file.add("front desk", Role.DETECT)[1]
    with (
        reviewing(keys=tmp_path / "keys.json") as live,
        opened(browser, live, signed_in=False, viewport=LAPTOP, locale="ko-KR") as screen,
    ):
        page = screen.page
        sign_in(screen, "wrong")
        expect(page.locator("#sign-in-error")).to_contain_text("올바른 API 키가 필요합니다")
        page.keyboard.press("Escape")
        expect(page.locator("#notices")).to_contain_text("로그인하지 않았습니다.")
        page.locator("#notices button").click()
        sign_in(screen, key)
        expect(page.locator("#to-review")).to_have_text("수정")
        expect(page.locator("#to-agreement")).to_be_hidden()
        screen.add(("a.jpg", make_photo()))
        screen.wait_until_done(1)
        expect(page.locator("#keep")).to_be_hidden()
        page.click("#correct")
        page.click("#confirm")
        assert screen.download("#save-zip").startswith(b"PK")


@pytest.mark.systems
def test_another_person_does_not_get_the_photos_of_the_one_before(
    reviewing: Reviewing, browser: Browser, key_file: KeyFile, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    first, second = (key_file.add(name, Role.REVIEW)[1] for name in ("kim", "lee"))
    with reviewing(keys=tmp_path / "keys.json") as live, opened(browser, live, signed_in=False) as screen:
        page = screen.page
        sign_in(screen, first)
        expect(page.locator("#account-name")).to_have_text("kim")
        screen.add(("a.jpg", make_photo()))
        screen.wait_until_done(1)
        page.context.clear_cookies()
        screen.add(("b.jpg", make_photo()))
        expect(page.locator("#sign-in")).to_be_visible()
        sign_in(screen, second)
        expect(page.locator("#account-name")).to_have_text("lee")
        expect(page.locator("#photos li")).to_have_count(0)
