"""One path through each part of reviewing, in Chromium and against a real server and store."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("alembic", reason="the extra reviews is not installed")

from app.settings import Blind, ModelChoice
from tests.app.api.live_server import Live, make_photo, write_bundle
from tests.app.page.screen import opened
from tests.conftest import needs_training

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

Reviewing = Callable[..., AbstractContextManager[Live]]
LAPTOP = {"width": 1280, "height": 900}
STANDARD = ["Caries", "Caries", "Sound tooth", "Sound tooth"]


def kept(live: Live, *lights: int, view: str = "front") -> None:
    """Keep photos of different light."""
    for light in lights:
        answer = live.client.post(f"/reviews/photos?reader=desk&view={view}", content=make_photo(light=light))
        assert answer.status_code == 201, answer.text


def reviewed(live: Live, photo_id: int, reader: str = "kim") -> dict[str, Any]:
    photo: dict[str, Any] = live.client.get(f"/reviews/photos/{photo_id}?reader={reader}").json()
    return photo


def test_a_photo_is_kept_corrected_and_confirmed(reviewing: Reviewing, browser: Browser) -> None:
    from playwright.sync_api import expect

    with reviewing() as live, opened(browser, live, viewport=LAPTOP) as screen:
        page = screen.page
        kept(live, 110)
        screen.add(("name-of-a-patient.jpg", make_photo()))
        screen.wait_until_done(1)

        # Kept with a pseudonym, once the reader has given a name.
        page.fill("#keep-patient", "p-17")
        page.select_option("#keep-view", "front")
        page.click("#keep-photo")
        page.fill("#reader-name", "kim")
        page.keyboard.press("Enter")
        expect(page.locator("#keep-state")).to_contain_text("Kept as photo 2.")
        page.click("#keep-state a")
        expect(page.locator("#edit-name")).to_have_text("Photo 2")
        expect(page.locator("#teeth .class")).to_have_text(STANDARD)

        # By mouse: move, resize, delete, add, change the class, undo.
        page.mouse.click(*screen.middle_of_tooth(1))
        x, y = screen.middle(".frame")
        screen.drag((x, y), (x + 30, y + 20))
        x, y = screen.middle(".handle.e")
        screen.drag((x, y), (x + 40, y))
        page.mouse.click(*screen.middle_of_tooth(2))
        page.click("#delete-box")
        expect(page.locator("#teeth .class")).to_have_text(["Caries", "Sound tooth", "Sound tooth"])
        page.click("#add-box")
        view = page.locator("#edit-viewer").bounding_box()
        assert view is not None
        left, bottom = view["x"] + view["width"] / 2, view["y"] + view["height"] - 80
        screen.drag((left, bottom), (left + 60, bottom + 50))
        page.click("#as-normal")
        page.click("#undo")
        expect(page.locator("#teeth .class")).to_have_text(["Caries", "Sound tooth", "Sound tooth", "Caries"])
        expect(page.locator("#finish-text")).to_have_text("2 teeth with caries")
        page.fill("#note", "upper left")
        assert screen.barriers() == []

        # One key confirms, and the next photo opens.
        page.locator("#edit-viewer").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#edit-name")).to_have_text("Photo 1")
        photo = reviewed(live, 2)
        assert (photo["patient"], photo["view"], photo["state"]) == ("p-17", "front", "done")
        reading = photo["reading"]
        assert (reading["verdict"], reading["note"], reading["view"]) == ("carious", "upper left", "front")
        start, moved = photo["start"][1]["box"], reading["boxes"][0]["box"]
        assert moved["xmin"] > start["xmin"]
        assert moved["ymin"] > start["ymin"]
        assert moved["xmax"] - moved["xmin"] > start["xmax"] - start["xmin"]
        assert moved["ymax"] - moved["ymin"] == pytest.approx(start["ymax"] - start["ymin"], abs=0.2)

        # By keyboard alone: select, move, resize, class; three actions at most for a box.
        for key in ("n", "ArrowRight", "Shift+ArrowDown", "n", "2", "Enter"):
            page.keyboard.press(key)
        expect(page.locator("#desk-text")).to_contain_text("0 to read, 0 to settle, 2 done.")
        photo = reviewed(live, 1)
        first, second = photo["reading"]["boxes"][:2]
        start = photo["start"][1]["box"]
        assert first["box"] == start | {"xmin": start["xmin"] + 1, "xmax": start["xmax"] + 1, "ymax": start["ymax"] + 1}
        assert second["class"] == "normal"
        assert page.evaluate("Object.keys(localStorage).filter(key => key.includes('draft'))") == []


def test_the_pseudonym_is_offered_for_photos_added_together_and_two_models_screen(
    reviewing: Reviewing, browser: Browser, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    write_bundle(tmp_path, name="second")
    with (
        reviewing(model="stand-in", models=(ModelChoice("second"),)) as live,
        opened(browser, live, reader="kim") as screen,
    ):
        page = screen.page
        screen.add(("a.jpg", make_photo()), ("b.jpg", make_photo(light=110)))
        screen.wait_until_done(2)
        page.fill("#keep-patient", "p-17")
        page.click("#keep-photo")
        expect(page.locator("#keep-state")).to_contain_text("Kept as photo 1.")
        assert {one["model"]["name"] for one in reviewed(live, 1)["detections"]} == {"stand-in", "second"}
        screen.open_photo("b.jpg")
        expect(page.locator("#keep-patient")).to_have_value("p-17")
        screen.add(("c.jpg", make_photo(light=150)))
        screen.wait_until_done(3)
        screen.open_photo("c.jpg")
        expect(page.locator("#name")).to_have_text("c.jpg")
        expect(page.locator("#keep-patient")).to_have_value("")


@needs_training
def test_without_reviews_corrections_are_downloaded_as_a_training_set(
    clinic: Live, browser: Browser, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    from training.data.annotations import read_annotated_photos
    from training.data.data_sets import Labels, find_data_set

    def asks_before_closing() -> bool:
        return bool(page.evaluate("() => !dispatchEvent(new Event('beforeunload', { cancelable: true }))"))

    with opened(browser, clinic, viewport=LAPTOP) as screen:
        page = screen.page
        screen.add(("a.jpg", make_photo()), ("b.jpg", make_photo(light=110)), ("c.jpg", make_photo(light=150)))
        screen.wait_until_done(3)
        expect(page.locator("#keep")).to_be_hidden()
        page.click("#correct")
        expect(page.locator("#teeth .class")).to_have_text(["Caries", "Caries", "Sound tooth"])
        assert not asks_before_closing()
        for key in ("n", "2"):
            page.keyboard.press(key)
        assert asks_before_closing()
        for key in ("z", "Escape"):
            page.keyboard.press(key)
        for keys in (["n", "2", "Enter"], ["s", "Enter"], ["x"]):
            page.fill("#edit-patient", "p-17")
            page.locator("#edit-viewer").focus()
            for key in keys:
                page.keyboard.press(key)
        expect(page.locator("#edit-name")).to_have_text("c.jpg")
        for link in ("#to-screening", "#to-review"):  # what is not confirmed stays
            page.click(link)
        page.select_option("#language", "ko")
        expect(page.locator("#finish-text")).to_have_text("판정 불가")
        page.select_option("#language", "en")
        page.click("#confirm")
        expect(page.locator("#desk-text")).to_contain_text("3 of 3 photos corrected.")
        assert asks_before_closing()
        with zipfile.ZipFile(io.BytesIO(screen.download("#save-zip"))) as archive:
            assert archive.testzip() is None
            archive.extractall(tmp_path / "corrected")
    assert find_data_set(tmp_path / "corrected")[0].labels is Labels.CARIOUS_TEETH_ONLY
    first, second = read_annotated_photos(tmp_path / "corrected")
    assert (first.class_ids.tolist(), second.class_ids.tolist()) == ([1, 2, 1], [1, 1, 1])
    assert first.group == second.group
    labels = json.loads((tmp_path / "corrected" / "json_train" / "photo-000001.json").read_text())
    shape = labels["annotation"]["regions"][1]["shape_attributes"]
    assert (shape["x"], shape["y"], shape["width"], shape["height"]) == (176, 24, 64, 120)


def test_two_blind_readers_differ_and_a_third_settles(reviewing: Reviewing, browser: Browser) -> None:
    from playwright.sync_api import expect

    with reviewing(reviews_blind=Blind.UNCLASSED) as live:
        kept(live, 130)
        # They differ in the second tooth, which lee does not mark, and in the third, which lee finds sound.
        kim, lee = ("n", "1", "n", "1", "n", "1", "r", "Enter"), ("n", "1", "n", "Delete", "r", "Enter")
        for reader, keys in {"kim": kim, "lee": lee}.items():
            with opened(browser, live, viewport=LAPTOP, reader=reader) as screen:
                page = screen.page
                page.click("#to-review")
                expect(page.locator("#teeth .class")).to_have_text(["Not decided"] * 4)
                expect(page.locator("#confirm")).to_be_disabled()
                expect(page.locator("#others")).to_be_hidden()
                for key in keys:
                    page.keyboard.press(key)
                expect(page.locator("#desk-text")).to_contain_text("There is nothing left for you to read.")
        assert reviewed(live, 1)["state"] == "disputed"
        with opened(browser, live, viewport=LAPTOP, reader="park") as screen:
            page = screen.page
            page.click("#to-review")
            page.select_option("#queue-state", "disputed")
            expect(page.locator("#others")).to_contain_text("kim: 3 teeth with caries")
            expect(page.locator("#others")).to_contain_text("lee: 1 tooth with caries")
            expect(page.locator("#edit-viewer .ghost")).to_have_text(["A", "A", "A", "B"])
            assert screen.teeth() == ["Caries", "Not decided", "Not decided", "Sound tooth"]
            for place in (1, 2):
                page.locator("#teeth button").nth(place).click()
                page.keyboard.press("1")
            assert screen.barriers() == []
            page.keyboard.press("Enter")
            expect(page.locator("#desk-text")).to_contain_text("0 to read, 0 to settle, 1 done.")
            consensus = reviewed(live, 1)["consensus"]
            assert consensus["reader"] == "park"
            assert [box["class"] for box in consensus["boxes"]] == ["caries", "caries", "caries", "normal"]

            page.click("#to-agreement")
            rows = page.locator("#agreement table").first.locator("tbody tr")
            expect(rows.first).to_contain_text("leeAll140.500.500.20")
            expect(rows.nth(1)).to_contain_text("Front")
            expect(page.locator("#agreement table").nth(1)).to_contain_text("kim")
            page.select_option("#language", "ko")
            expect(page.locator("#agreement caption").first).to_have_text("판독자 두 명")
            saved = json.loads(screen.download("#save-agreement"))
            assert saved == live.client.get("/reviews/agreement").json()
            assert screen.barriers() == []


def test_a_lost_connection_loses_nothing(reviewing: Reviewing, browser: Browser) -> None:
    from playwright.sync_api import expect

    with reviewing() as live:
        kept(live, 130)
        with opened(browser, live, viewport=LAPTOP, reader="kim") as screen:
            page = screen.page
            page.click("#to-review")
            expect(page.locator("#teeth .class")).to_have_text(STANDARD)
            page.fill("#note", "half done")
            page.reload()
            expect(page.locator("#edit-notices")).to_contain_text("Restored your unsent changes from")
            expect(page.locator("#note")).to_have_value("half done")

            page.route("**/reading*", lambda route: route.abort("connectionreset"))
            page.keyboard.press("Enter")
            expect(page.locator("#finish-text")).to_contain_text("No connection to the server. Next try in")
            page.unroute("**/reading*")
            expect(page.locator("#desk-text")).to_contain_text("0 to read, 0 to settle, 1 done.")
            assert reviewed(live, 1)["reading"]["note"] == "half done"


def test_only_changes_are_drafts_and_the_newest_wins(reviewing: Reviewing, browser: Browser) -> None:
    from playwright.sync_api import expect

    with reviewing() as live:
        kept(live, 130)
        with opened(browser, live, viewport=LAPTOP, reader="kim") as screen:
            page = screen.page
            page.click("#to-review")
            expect(page.locator("#teeth .class")).to_have_text(STANDARD)
            for key in ("1", "2", "z", "Delete"):
                page.keyboard.press(key)
            assert page.evaluate("Object.keys(localStorage).filter(key => key.includes('draft'))") == []
            page.fill("#note", "older")
            page.evaluate("() => { Storage.prototype.setItem = () => { throw new Error('full') } }")
            page.fill("#note", "newer")
            page.click("#to-screening")
            page.click("#to-review")
            expect(page.locator("#edit-notices")).to_contain_text("Restored your unsent changes from")
            expect(page.locator("#note")).to_have_value("newer")


def test_a_draft_of_a_reading_that_has_changed_since_is_told_and_can_be_discarded(
    reviewing: Reviewing, browser: Browser
) -> None:
    from playwright.sync_api import expect

    with reviewing() as live:
        kept(live, 130)
        start = reviewed(live, 1)["start"]

        def write(version: int, teeth: int, note: str) -> None:
            """As the same reader does elsewhere."""
            body = {"version": version, "verdict": "carious", "boxes": start[:teeth], "note": note}
            assert live.client.put("/reviews/photos/1/reading?reader=kim", json=body).status_code == 200

        write(0, 4, "first")
        with opened(browser, live, viewport=LAPTOP, reader="kim") as screen:
            page = screen.page
            page.goto("/#review/1")
            expect(page.locator("#note")).to_have_value("first")
            page.fill("#note", "draft")
            page.click("#to-screening")
            write(1, 2, "second")

            page.goto("/#review/1")
            notice = page.locator("#edit-notices")
            expect(notice).to_contain_text("The saved labels have changed since then.")
            expect(page.locator("#note")).to_have_value("draft")
            expect(page.locator("#teeth button")).to_have_count(4)
            page.get_by_role("button", name="Discard them").click()
            expect(page.locator("#note")).to_have_value("second")
            expect(page.locator("#teeth button")).to_have_count(2)
            expect(notice).to_be_empty()
            assert page.evaluate("Object.keys(localStorage).filter(key => key.includes('draft'))") == []

            page.locator("#edit-viewer").focus()
            page.keyboard.press("Enter")
            expect(page.locator("#edit")).to_be_hidden()
            reading = reviewed(live, 1)["reading"]
            assert (reading["version"], reading["note"], len(reading["boxes"])) == (3, "second", 2)


def test_a_photo_that_arrives_late_does_not_interrupt_typing(reviewing: Reviewing, browser: Browser) -> None:
    from playwright.sync_api import Route, expect

    with reviewing() as live:
        kept(live, 110, 120)
        with opened(browser, live, viewport=LAPTOP, reader="kim") as screen:
            page, held = screen.page, list[Route]()
            page.route("**/reviews/photos/*/picture*", lambda route: held.append(route), times=1)
            page.click("#to-review")
            page.click("#queue-number")
            held[0].continue_()
            expect(page.locator("#edit-name")).to_contain_text("2")
            page.keyboard.type("1")
            expect(page.locator("#queue-number")).to_have_value("1")
            page.keyboard.press("Enter")
            expect(page.locator("#edit-name")).to_contain_text("1")
            expect(page.locator("#queue-number")).not_to_be_focused()


def test_choosing_a_queue_by_arrow_keys_confirms_nothing(reviewing: Reviewing, browser: Browser) -> None:
    from playwright.sync_api import expect

    with reviewing() as live:
        kept(live, 110, 120)
        with opened(browser, live, viewport=LAPTOP, reader="kim") as screen:
            page = screen.page
            page.click("#to-review")
            expect(page.locator("#edit-name")).to_have_text("Photo 2")
            for choice in ("#queue-order", "#queue-state"):
                page.locator(choice).focus()
                before = page.locator(choice).input_value()
                with page.expect_response("**/reviews/photos?*"):
                    page.keyboard.press("ArrowDown")
                expect(page.locator(choice)).not_to_have_value(before)
                page.wait_for_timeout(500)
                expect(page.locator(choice)).to_be_focused()
                page.keyboard.press("Enter")
                page.keyboard.press("Escape")
        readings = [live.client.get(f"/reviews/photos/{number}?reader=kim").json()["reading"] for number in (1, 2)]
        assert readings == [None, None]


def test_every_photo_of_a_long_list_can_be_opened(reviewing: Reviewing, browser: Browser) -> None:
    from playwright.sync_api import Route, expect

    with reviewing() as live:
        for light in range(90, 142):
            assert live.client.post("/reviews/photos?reader=desk", content=make_photo(light=light)).status_code == 201
        with opened(browser, live, viewport=LAPTOP, reader="kim") as screen:
            page, held = screen.page, list[Route]()
            names = page.locator("#entries .file")
            page.click("#to-review")
            expect(names.first).to_have_text("Photo 52")
            page.route("**/reviews/photos?*order=date*", lambda route: held.append(route), times=1)
            page.select_option("#queue-order", "date")
            page.fill("#queue-number", "52")
            page.keyboard.press("Enter")
            expect(page.locator("#edit-name")).to_have_text("Photo 52")
            expect(names.first).to_have_text("Photo 1")
            expect(names).to_have_count(50)
            page.evaluate("() => { document.querySelector('#entries').firstElementChild.id = 'old' }")
            held[0].continue_()
            expect(page.locator("#old")).to_have_count(0)
            page.wait_for_timeout(500)
            expect(page.locator("#edit-name")).to_have_text("Photo 52")  # a list that arrives late leaves it open
            names.nth(49).click()
            expect(page.locator("#edit-next")).to_be_disabled()
            page.click("#queue-more")
            expect(names).to_have_text([f"Photo {number}" for number in range(1, 53)])
            expect(page.locator("#queue-more")).to_be_hidden()
            expect(page.locator("#entries button").nth(50)).to_be_focused()
            assert screen.barriers() == []
            page.click("#edit-next")
            expect(page.locator("#edit-name")).to_have_text("Photo 51")
            page.select_option("#language", "ko")
            expect(names.first).to_have_text("사진 1")
            expect(page.locator("#entries .card").first).not_to_contain_text(":")  # a date without its time
