"""Reviewing in both languages, at three sizes, by mouse, touch and keyboard, and where something fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("alembic", reason="the extra reviews is not installed")

from app.settings import Blind
from tests.app.api.live_server import make_photo, write_bundle
from tests.app.page.screen import Screen, opened
from tests.app.page.test_review_page import LAPTOP, STANDARD, Reviewing, kept, reviewed
from tests.app.page.test_screening_matrix import SIZES, size

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

pytestmark = pytest.mark.systems


def review(screen: Screen) -> None:
    """Open the review view, and wait for its photo."""
    from playwright.sync_api import expect

    screen.page.click("#to-review")
    expect(screen.page.locator("#edit-name")).to_contain_text("Photo")
    screen.page.locator("#edit-viewer g.a9s-annotation").first.wait_for(state="attached")


def press(screen: Screen, *keys: str) -> None:
    for key in keys:
        screen.page.keyboard.press(key)


def is_wider_than_the_window(screen: Screen) -> bool:
    return bool(screen.page.evaluate("() => document.documentElement.scrollWidth > innerWidth"))


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-GB", "ko-KR"])
def test_every_size_language_and_colour_scheme(
    reviewing: Reviewing, browser: Browser, name: str, scheme: str, locale: str
) -> None:
    from playwright.sync_api import expect

    with reviewing(reviews_blind=Blind.UNCLASSED) as live:
        kept(live, 130, 110)
        for reader in ("kim", "lee"):
            verdict = {"kim": "sound", "lee": "not_assessable"}[reader]
            body = {"version": 0, "verdict": verdict, "boxes": []}
            assert live.client.put(f"/reviews/photos/1/reading?reader={reader}", json=body).status_code == 200
        options = size(name) | {"locale": locale, "color_scheme": scheme, "reader": "park"}
        with opened(browser, live, **options) as screen:
            page = screen.page
            page.click("#to-review")
            expect(page.locator("#teeth button")).to_have_count(4)
            page.locator("#teeth button").first.click()
            page.locator("#review summary").first.click()
            expect(page.locator("#confirm")).to_contain_text({"en-GB": "Confirm", "ko-KR": "확인"}[locale])
            assert screen.barriers() == []
            assert not is_wider_than_the_window(screen)
            page.select_option("#queue-state", "disputed")
            expect(page.locator("#others")).to_be_visible()
            assert screen.barriers() == []
            page.click("#to-agreement")
            page.locator("#agreement table").first.wait_for()
            assert screen.barriers() == []
            assert not is_wider_than_the_window(screen)
            page.click("#to-screening")
            screen.add(("a.jpg", make_photo()))
            screen.wait_until_done(1)
            expect(page.locator("#keep")).to_be_visible()
            assert screen.barriers() == []


def test_by_touch(reviewing: Reviewing, browser: Browser) -> None:
    from playwright.sync_api import expect

    with reviewing() as live:
        kept(live, 130)
        with opened(browser, live, reader="kim", **size("phone")) as screen:
            page = screen.page
            review(screen)
            page.locator("#edit-viewer").scroll_into_view_if_needed()
            page.touchscreen.tap(*screen.middle_of_tooth(1))
            expect(page.locator(".frame")).to_be_visible()
            x, y = screen.middle(".frame")
            screen.touch((x, y), (x + 10, y + 20), (x + 20, y + 40))
            x, y = screen.middle(".handle.nw")
            screen.touch((x, y), (x - 10, y - 10), (x - 20, y - 30))
            for _ in range(3):  # a busy Chromium drops taps
                page.locator("#add-box").tap()
                page.wait_for_timeout(500)
                if page.locator("#add-box[aria-pressed=true]").count():
                    break
            expect(page.locator("#add-box")).to_have_attribute("aria-pressed", "true")
            view = page.locator("#edit-viewer").bounding_box()
            assert view is not None
            left, top = view["x"] + 40, view["y"] + view["height"] - 110
            screen.touch((left, top), (left + 20, top + 10), (left + 40, top + 30))
            expect(page.locator("#teeth .class")).to_have_text([*STANDARD, "Caries"])
            page.locator("#teeth button").last.tap()
            page.locator("#delete-box").tap()
            expect(page.locator("#teeth button")).to_have_count(4)
            page.locator("#edit-viewer").scroll_into_view_if_needed()
            x, y = screen.middle("#edit-viewer")
            fingers = [((x - apart, y), (x + apart, y)) for apart in range(20, 60, 5)]
            screen.touch(*fingers)
            expect(page.locator("#edit-viewer")).to_have_class("viewer zoomed")
            page.locator("#confirm").tap()
            expect(page.locator("#desk-text")).to_contain_text("1 done")
            photo = reviewed(live, 1)
            start, moved = photo["start"][1]["box"], photo["reading"]["boxes"][0]["box"]
            assert moved["xmax"] > start["xmax"]
            assert moved["ymax"] > start["ymax"]
            assert moved["xmin"] < moved["xmax"] - (start["xmax"] - start["xmin"]) - 5
            assert len(photo["reading"]["boxes"]) == 4


def test_by_keyboard_alone(reviewing: Reviewing, browser: Browser) -> None:
    from playwright.sync_api import expect

    with reviewing() as live:
        kept(live, 130)
        with opened(browser, live, viewport=LAPTOP, reader="kim") as screen:
            page = screen.page
            page.locator("#to-review").focus()
            press(screen, "Enter")
            expect(page.locator("#edit-viewer")).to_be_focused()
            press(screen, "a", "Enter", "ArrowUp", "ArrowLeft", "Shift+ArrowRight", "2")
            expect(page.locator("#teeth .class")).to_have_text([*STANDARD, "Sound tooth"])
            press(screen, "z", "Escape", "p", "Backspace")
            expect(page.locator("#teeth .class")).to_have_text(STANDARD)
            press(screen, "x")
            expect(page.locator("#finish-text")).to_have_text("Not assessable")
            press(screen, "z", "s")
            expect(page.locator("#finish-text")).to_have_text("No caries")
            press(screen, "Control+z", "Tab")
            for _ in range(20):
                if page.evaluate("() => document.activeElement === document.querySelectorAll('#teeth button')[2]"):
                    break
                press(screen, "Tab")
            expect(page.locator("#teeth button").nth(2)).to_be_focused()
            press(screen, "Delete")
            expect(page.locator("#teeth button").nth(2)).to_be_focused()
            # A Korean keyboard writes ㄴ where the S is.
            page.evaluate(
                "() => document.activeElement.dispatchEvent("
                "new KeyboardEvent('keydown', { key: 'ㄴ', code: 'KeyS', bubbles: true }))"
            )
            expect(page.locator("#finish-text")).to_have_text("No caries")
            press(screen, "Enter")
            expect(page.locator("#desk-text")).to_contain_text("1 done")
            reading = reviewed(live, 1)["reading"]
            assert (reading["verdict"], len(reading["boxes"])) == ("sound", 3)


def test_by_buttons_alone_and_enlarged(reviewing: Reviewing, browser: Browser) -> None:
    from playwright.sync_api import expect

    with reviewing() as live:
        kept(live, 130)
        with opened(browser, live, viewport=LAPTOP, reader="kim") as screen:
            page = screen.page
            review(screen)
            start = reviewed(live, 1)["start"][1]["box"]
            page.click("#edit-zoom-in")
            page.click("#edit-zoom-in")
            page.mouse.click(*screen.middle_of_tooth(1))
            x, y = screen.middle(".frame")
            scale = screen.page.locator(".frame").evaluate("frame => frame.getBoundingClientRect().width")
            scale /= start["xmax"] - start["xmin"]
            screen.drag((x, y), (x + 10 * scale, y))
            page.click("#edit summary")
            for name in ("Move right", "Move down", "Wider", "Less tall"):
                page.get_by_role("button", name=name, exact=True).click()
            page.click("#confirm")
            expect(page.locator("#desk-text")).to_contain_text("1 done")
            box = reviewed(live, 1)["reading"]["boxes"][0]["box"]
            assert box["xmin"] == pytest.approx(start["xmin"] + 11, abs=0.3)
            assert box["xmax"] == pytest.approx(start["xmax"] + 12, abs=0.3)
            assert box["ymin"] == pytest.approx(start["ymin"] + 1, abs=0.1)
            assert box["ymax"] == pytest.approx(start["ymax"], abs=0.1)


@pytest.mark.parametrize("choice", ["Save mine instead", "Use the saved version"])
def test_a_reading_that_was_changed_meanwhile(reviewing: Reviewing, browser: Browser, choice: str) -> None:
    from playwright.sync_api import expect

    with reviewing() as live:
        kept(live, 130)
        with opened(browser, live, viewport=LAPTOP, reader="kim") as screen:
            page = screen.page
            review(screen)
            page.fill("#note", "mine")
            body = {"version": 0, "verdict": "carious", "boxes": reviewed(live, 1)["start"][:2], "note": "theirs"}
            assert live.client.put("/reviews/photos/1/reading?reader=kim", json=body).status_code == 200
            page.click("#confirm")
            expect(page.locator("#edit-notices")).to_contain_text(
                "This photo has changed since you opened it. kim: 1 tooth"
            )
            expect(page.locator("#edit-notices")).to_contain_text("“theirs”")
            expect(page.locator("#note")).to_have_value("mine")
            press(screen, "Enter")  # a second Enter overwrites nothing
            assert reviewed(live, 1)["reading"]["note"] == "theirs"
            page.get_by_role("button", name=choice).click()
            if choice == "Use the saved version":
                expect(page.locator("#note")).to_have_value("theirs")
                page.click("#confirm")
            expect(page.locator("#desk-text")).to_contain_text("1 done")
            expect(page.locator("#edit")).to_be_hidden()
            reading = reviewed(live, 1)["reading"]
            assert reading["version"] == 2
            assert reading["note"] == {"S": "mine", "U": "theirs"}[choice[0]]


def test_an_answer_that_was_lost_is_no_conflict(reviewing: Reviewing, browser: Browser) -> None:
    from playwright.sync_api import expect

    with reviewing() as live:
        kept(live, 130)
        with opened(browser, live, viewport=LAPTOP, reader="kim") as screen:
            page = screen.page
            review(screen)

            def lose(route: Route) -> None:
                route.fetch()
                route.abort("connectionreset")

            page.route("**/reading*", lose, times=1)
            press(screen, "n", "2", "Enter")
            expect(page.locator("#desk-text")).to_contain_text("1 done")
            assert reviewed(live, 1)["reading"]["version"] == 1


def test_readings_that_are_closed_become_a_consensus(reviewing: Reviewing, browser: Browser) -> None:
    from playwright.sync_api import expect

    with reviewing(reviews_blind=Blind.EMPTY) as live:
        kept(live, 130)
        with opened(browser, live, viewport=LAPTOP, reader="park") as screen:
            page = screen.page
            page.click("#to-review")
            expect(page.locator("#edit-name")).to_have_text("Photo 1")
            expect(page.locator("#finish-text")).to_contain_text("Mark the teeth with caries")
            expect(page.locator("#confirm")).to_be_disabled()
            press(screen, "a", "Enter")
            for reader, verdict in {"kim": "sound", "lee": "not_assessable"}.items():
                body = {"version": 0, "verdict": verdict, "boxes": []}
                live.client.put(f"/reviews/photos/1/reading?reader={reader}", json=body)
            press(screen, "Enter")
            expect(page.locator("#edit-notices")).to_contain_text("both readings of photo 1 are done")
            expect(page.locator("#others")).to_contain_text("lee: Not assessable")
            assert screen.teeth() == ["Caries"]
            press(screen, "Enter")
            expect(page.locator("#desk-text")).to_contain_text("1 done")
            assert reviewed(live, 1)["consensus"]["reader"] == "park"


def test_drafts_are_of_one_reader_and_can_be_discarded(reviewing: Reviewing, browser: Browser) -> None:
    from playwright.sync_api import expect

    with reviewing() as live:
        kept(live, 130)
        with opened(browser, live, viewport=LAPTOP) as screen:
            page = screen.page
            page.click("#to-review")
            page.fill("#reader-name", "kim")
            press(screen, "Enter")
            expect(page.locator("#teeth .class")).to_have_text(STANDARD)
            press(screen, "n", "2")
            page.click("#account summary")
            page.click("#change-reader")
            page.fill("#reader-name", "lee")
            press(screen, "Enter")
            expect(page.locator("#teeth .class")).to_have_text(STANDARD)
            page.click("#account summary")
            page.click("#change-reader")
            page.fill("#reader-name", "kim")
            press(screen, "Enter")
            expect(page.locator("#teeth .class").first).to_have_text("Sound tooth")
            page.get_by_role("button", name="Discard them").click()
            expect(page.locator("#teeth .class")).to_have_text(STANDARD)
            assert page.evaluate("Object.keys(localStorage).filter(key => key.includes('draft'))") == []


def test_a_deleted_photo_gets_the_servers_sentence_in_korean(reviewing: Reviewing, browser: Browser) -> None:
    from playwright.sync_api import expect

    with reviewing() as live:
        kept(live, 130)
        with opened(browser, live, viewport=LAPTOP, reader="kim", locale="ko-KR") as screen:
            page = screen.page
            page.click("#to-review")
            expect(page.locator("#teeth button")).to_have_count(4)
            assert live.client.delete("/reviews/photos/1").status_code == 200
            press(screen, "n", "2", "Enter")
            title = live.client.get("/reviews/photos/1?reader=kim", headers={"Accept-Language": "ko"}).json()["title"]
            expect(page.locator("#edit-notices")).to_contain_text(title)
            expect(page.locator("#edit-notices")).to_contain_text("이 브라우저에 남아 있습니다")
            expect(page.locator("#teeth .class").first).to_have_text("건강한 치아")


def test_a_model_that_changes_during_a_review_is_said(reviewing: Reviewing, browser: Browser) -> None:
    from playwright.sync_api import expect

    with reviewing() as live:
        kept(live, 130, 110)
        with opened(browser, live, viewport=LAPTOP, reader="kim") as screen:
            review(screen)
            expect(screen.page.locator("#edit-facts")).to_contain_text("boxes of stand-in 1")
            write_bundle(live.service.settings.model_store, version=2)
            assert live.client.post("/models/reload").status_code == 200
            press(screen, "Enter")
            expect(screen.page.locator("#notices")).to_contain_text("The server has a new model.")


def test_the_queue_in_every_order_and_state(reviewing: Reviewing, browser: Browser) -> None:
    from playwright.sync_api import expect

    with reviewing() as live:
        kept(live, 130, 110, 150)
        body = {"version": 0, "verdict": "sound", "boxes": []}
        live.client.put("/reviews/photos/2/reading?reader=lee", json=body)
        with opened(browser, live, viewport=LAPTOP, reader="kim") as screen:
            page = screen.page
            names = page.locator("#entries .file")
            review(screen)
            expect(names).to_have_text(["Photo 3", "Photo 1"])
            page.select_option("#queue-order", "date")
            expect(names).to_have_text(["Photo 1", "Photo 3"])
            names.nth(1).click()
            expect(page.locator("#edit-name")).to_have_text("Photo 3")
            page.select_option("#queue-state", "all")
            expect(names).to_have_text(["Photo 1", "Photo 2", "Photo 3"])
            expect(page.locator("#entries .state")).to_have_text(["To read", "Done", "To read"])
            page.goto("/#review/2")
            expect(page.locator("#others")).to_contain_text("lee: No caries")
            page.reload()
            expect(page.locator("#edit-name")).to_have_text("Photo 2")
            page.locator("#edit-viewer").focus()
            press(screen, "PageDown")
            expect(page.locator("#edit-name")).to_have_text("Photo 3")


def test_a_photo_that_cannot_be_kept_says_why(reviewing: Reviewing, browser: Browser) -> None:
    from playwright.sync_api import expect

    problem = (
        '{"type": "/problems/review-store-failed", "title": "저장소", "status": 503, "detail": "the disk is full"}'
    )
    with reviewing() as live, opened(browser, live, reader="kim", locale="ko-KR") as screen:
        page = screen.page
        headers = {"Content-Type": "application/problem+json", "Retry-After": "5"}
        page.route("**/reviews/photos?*", lambda route: route.fulfill(status=503, headers=headers, body=problem))
        screen.add(("a.jpg", make_photo()))
        screen.wait_until_done(1)
        page.fill("#keep-patient", "Kim Minsu")
        page.click("#keep-photo")
        expect(page.locator("#keep-patient:invalid")).to_have_count(1)
        page.fill("#keep-patient", "p-1")
        page.click("#keep-photo")
        expect(page.locator("#keep-state")).to_contain_text("저장소", timeout=15_000)
        page.unroute("**/reviews/photos?*")
        page.click("#keep-photo")
        expect(page.locator("#keep-state")).to_contain_text("사진 1번으로 보관했습니다.")
