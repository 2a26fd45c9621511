"""Everything that a person does, by mouse, touch and keyboard, in both languages, at every size."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Container, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

pytest.importorskip("alembic", reason="the extra reviews is not installed")

from app.records.key_file import KeyFile, Role
from app.settings import Blind
from tests.app.api.live_server import Live, make_photo
from tests.app.page.hand import WAYS, Hand
from tests.app.page.screen import Screen, opened
from tests.app.page.test_review_matrix import is_wider_than_the_window
from tests.app.page.test_review_page import Reviewing, kept, reviewed
from tests.app.page.test_screening_matrix import SIZES, size

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet
    from playwright.sync_api import Browser

CARIES = {"en-GB": "Caries", "ko-KR": "충치"}
SOUND = {"en-GB": "Sound tooth", "ko-KR": "건강한 치아"}


def every(*parts: Iterable[str], plain: Container[tuple[str, ...]] = ()) -> list[ParameterSet]:
    """Every combination; those in `plain` are part of `make test`."""
    return [
        pytest.param(*one, marks=pytest.mark.slow if one in plain else pytest.mark.systems)
        for one in itertools.product(*parts)
    ]


def every_way(*plain: tuple[str, str, str]) -> pytest.MarkDecorator:
    """Every way, language and size."""
    return pytest.mark.parametrize(("way", "locale", "name"), every(WAYS, CARIES, SIZES, plain=plain))


def options(way: str, locale: str, name: str) -> dict[str, Any]:
    return size(name) | {"has_touch": way == "touch", "locale": locale}


def assert_usable(screen: Screen) -> None:
    assert screen.barriers() == []
    assert not is_wider_than_the_window(screen)


def sign_in(hand: Hand, name: str, key: str) -> None:
    from playwright.sync_api import expect

    hand.type("#key", key)
    hand.press("#sign-in-form .primary")
    expect(hand.page.locator("#account-name")).to_have_text(name)


def sign_out(hand: Hand, button: str) -> None:
    from playwright.sync_api import expect

    hand.press("#account summary")
    hand.press(button)
    expect(hand.page.locator("#sign-in")).to_be_visible()
    expect(hand.page.locator("#photos li")).to_have_count(0)


@every_way(("touch", "ko-KR", "phone"))
def test_screening(reviewing: Reviewing, browser: Browser, tmp_path: Path, way: str, locale: str, name: str) -> None:
    from playwright.sync_api import expect

    key = KeyFile(tmp_path / "keys.json").add("desk", Role.DETECT)[1]
    first, second = tmp_path / "first.png", tmp_path / "second.png"
    first.write_bytes(make_photo(kind="PNG"))
    second.write_bytes(make_photo(kind="PNG", light=110))
    with (
        reviewing(keys=tmp_path / "keys.json") as live,
        opened(browser, live, signed_in=False, **options(way, locale, name)) as screen,
    ):
        page, hand = screen.page, Hand(screen, way)
        sign_in(hand, "desk", key)
        hand.add_photo(first)
        hand.add_photo_otherwise(second)
        screen.wait_until_done(2)
        hand.press("#photos li:nth-child(2) .card")
        expect(page.locator("#previous")).to_be_enabled()
        hand.press("#previous")
        expect(page.locator("#name")).to_have_text("first.png")

        for number in (1, 2):
            hand.point_at(f"#marks li:nth-child({number}) button")
            expect(page.locator("#viewer g.lit")).to_have_attribute("data-id", str(number))
        hand.enlarge("#viewer")
        expect(page.locator("#viewer")).to_have_class("viewer zoomed")
        hand.press("#fit")
        expect(page.locator("#viewer")).to_have_class("viewer")

        hand.press("#points button:nth-child(2)")
        expect(page.locator("#marks button")).to_have_count(1)
        hand.slide("#threshold", 0.85)
        expect(page.locator("#no-marks")).to_be_visible()
        hand.slide("#threshold", 0.72)
        expect(page.locator("#marks button")).to_have_count(1)
        hand.press("#all-classes", "Space")
        expect(page.locator("#marks button")).to_have_count(2)
        assert_usable(screen)

        results = json.loads(hand.save("#save-json"))["results"]
        assert [[one["score"] for one in result["detections"]] for result in results] == [[0.9, 0.8]] * 2
        assert results[0]["operating_point"]["score_threshold"] == pytest.approx(0.72, abs=0.02)
        rows = list(csv.DictReader(io.StringIO(hand.save("#save-csv").decode("utf-8-sig"))))
        assert sorted(row["class"] for row in rows) == ["caries", "caries", "normal", "normal"]
        threshold, language = results[0]["operating_point"]["score_threshold"], locale[:2]
        query = f"format=png&threshold={threshold}&classes=all&lang={language}"
        headers = {"Authorization": f"Bearer {key}"}
        answer = live.client.post(f"/detect?{query}", content=first.read_bytes(), headers=headers)
        assert hand.save("#save-png") == answer.content
        page.evaluate("() => { window.prints = 0; window.print = () => { window.prints += 1; }; }")
        hand.press("#print")
        assert page.evaluate("window.prints") == 1
        expect(page.locator("#report article")).to_have_count(2)

        sign_out(hand, "#sign-out")


@pytest.mark.systems
def test_the_slider_follows_the_mouse_past_the_end_of_the_curve(clinic: Live, browser: Browser) -> None:
    with opened(browser, clinic, **size("laptop")) as screen:
        screen.add(("a.jpg", make_photo()))
        screen.wait_until_done(1)
        Hand(screen, "mouse").slide("#threshold", 0.9)  # the curve of the stand-in ends at 0.6
        assert float(screen.page.locator("#threshold").input_value()) == pytest.approx(0.9, abs=0.02)


@every_way(("keyboard", "en-GB", "laptop"))
def test_correcting(reviewing: Reviewing, browser: Browser, tmp_path: Path, way: str, locale: str, name: str) -> None:
    from playwright.sync_api import expect

    caries, sound = CARIES[locale], SOUND[locale]
    key = KeyFile(tmp_path / "keys.json").add("kim", Role.REVIEW)[1]
    by_kim = {"Authorization": f"Bearer {key}"}

    with reviewing(keys=tmp_path / "keys.json") as live:
        for light in (110, 130, 150):
            answer = live.client.post("/reviews/photos?view=front", content=make_photo(light=light), headers=by_kim)
            assert answer.status_code == 201
        with (
            opened(browser, live, signed_in=False, **options(way, locale, name)) as screen,
            httpx.Client(base_url=f"http://127.0.0.1:{live.port}") as elsewhere,
        ):
            page, hand = screen.page, Hand(screen, way)
            classes, finding = page.locator("#teeth .class"), page.locator("#finish-text")

            def expect_queue(*numbers: int) -> None:
                words = {"en-GB": "Photo {}", "ko-KR": "사진 {}"}[locale]
                expect(page.locator("#entries .file")).to_have_text([words.format(number) for number in numbers])

            def expect_photo(number: int) -> None:
                expect(page.locator("#edit-name")).to_contain_text(str(number))
                expect(page.locator("#edit")).to_have_js_property("inert", False)

            sign_in(hand, "kim", key)
            assert elsewhere.post("/session", json={"key": key}).status_code == 201
            hand.press("#to-review")
            expect_photo(3)
            expect_queue(3, 2, 1)
            hand.choose("#queue-order", "date")
            expect_queue(1, 2, 3)
            hand.press("#entries li:nth-child(1) button")
            expect_photo(1)

            # Every tool for a box.
            hand.select_box(1)
            hand.move_box()
            hand.resize_box()
            hand.edit("#as-normal")
            expect(classes).to_have_text([sound, caries, sound, sound])
            hand.edit("#undo")
            expect(classes).to_have_text([caries, caries, sound, sound])
            hand.select_box(2)
            hand.edit("#delete-box")
            expect(classes).to_have_text([caries, sound, sound])
            hand.add_box()
            expect(classes).to_have_text([caries, sound, sound, caries])
            hand.edit("#as-normal")
            hand.select_box(3)
            hand.edit("#as-caries")
            expect(classes).to_have_text([caries, sound, caries, sound])
            hand.choose("#edit-view", "side")
            hand.type("#note", "upper left")
            assert_usable(screen)
            hand.edit("#confirm")
            expect_photo(2)

            # Findings of an entire photo.
            hand.edit("#all-sound")
            expect(classes).to_have_text([sound] * 4)
            hand.edit("#confirm")
            expect_photo(3)
            hand.edit("#not-assessable")
            expect(classes).to_have_count(0)
            hand.edit("#undo")
            expect(classes).to_have_count(4)
            hand.edit("#not-assessable")
            expect(finding).to_have_text({"en-GB": "Not assessable", "ko-KR": "판정 불가"}[locale])
            hand.edit("#confirm")
            expect(page.locator("#edit")).to_be_hidden()

            hand.choose("#queue-state", "done")
            expect_queue(1, 2, 3)
            expect_photo(1)
            hand.press("#edit-next")
            expect_photo(2)
            assert_usable(screen)
            hand.choose("#queue-state", "waiting")
            expect(page.locator("#edit")).to_be_hidden()

            photos = [live.client.get(f"/reviews/photos/{number}", headers=by_kim).json() for number in (1, 2, 3)]
            assert [photo["reading"]["verdict"] for photo in photos] == ["carious", "sound", "not_assessable"]
            reading, start = photos[0]["reading"], photos[0]["start"]
            assert (reading["view"], reading["note"]) == ("side", "upper left")
            assert [box["class"] for box in reading["boxes"]] == ["caries", "normal", "caries", "normal"]
            old, new = start[1]["box"], reading["boxes"][0]["box"]
            assert new["xmin"] > old["xmin"]
            assert new["ymin"] > old["ymin"]
            assert new["xmax"] - new["xmin"] > old["xmax"] - old["xmin"]
            assert new["ymax"] - new["ymin"] > old["ymax"] - old["ymin"]

            assert elsewhere.get("/session").json()["name"] == "kim"
            sign_out(hand, "#sign-out-everywhere")
            assert elsewhere.get("/session").json()["name"] is None


@pytest.mark.parametrize(("way", "name"), every(WAYS, SIZES, plain=[("touch", "phone")]))
def test_a_box_is_corrected_by_at_most_three_actions(
    reviewing: Reviewing, browser: Browser, way: str, name: str
) -> None:
    from playwright.sync_api import expect

    with reviewing() as live:
        kept(live, 130)
        with opened(browser, live, reader="kim", **options(way, "en-GB", name)) as screen:
            page, hand = screen.page, Hand(screen, way)
            hand.press("#to-review")
            expect(page.locator("#edit-name")).to_contain_text("1")
            page.locator("#edit-viewer g.a9s-annotation").first.wait_for(state="attached")
            before = hand.actions
            hand.select_box(1)
            hand.widen_box()
            hand.edit("#as-normal")
            assert hand.actions - before <= 3
            hand.edit("#confirm")
            expect(page.locator("#desk-text")).to_contain_text("1 done")
            photo = reviewed(live, 1)
            old, new = photo["start"][1]["box"], photo["reading"]["boxes"][0]
            assert new["class"] == "normal"
            assert new["box"]["xmax"] - new["box"]["xmin"] > old["xmax"] - old["xmin"]


@every_way()
def test_from_sign_in_to_agreement(
    reviewing: Reviewing, browser: Browser, tmp_path: Path, way: str, locale: str, name: str
) -> None:
    from playwright.sync_api import expect

    file = KeyFile(tmp_path / "keys.json")
    kim, lee, desk = (file.add(reader, Role.REVIEW)[1] for reader in ("kim", "lee", "desk"))
    with reviewing(keys=tmp_path / "keys.json", reviews_blind=Blind.UNCLASSED) as live:
        by = [{"Authorization": f"Bearer {key}"} for key in (desk, lee)]
        assert live.client.post("/reviews/photos", content=make_photo(), headers=by[0]).status_code == 201
        body = {"version": 0, "verdict": "sound", "boxes": []}
        assert live.client.put("/reviews/photos/1/reading", json=body, headers=by[1]).status_code == 200
        with opened(browser, live, signed_in=False, **options(way, locale, name)) as screen:
            page, hand = screen.page, Hand(screen, way)
            assert screen.barriers() == []
            sign_in(hand, "kim", kim)

            screen.add(("a.jpg", make_photo(light=110)))
            screen.wait_until_done(1)
            hand.type("#keep-patient", "p-17")
            hand.choose("#keep-view", "side")
            hand.press("#keep-photo")
            expect(page.locator("#keep-state")).to_contain_text({"en-GB": "photo 2", "ko-KR": "사진 2"}[locale])
            kept_photo = live.client.get("/reviews/photos/2", headers=by[1]).json()
            assert (kept_photo["patient"], kept_photo["view"]) == ("p-17", "side")
            assert screen.barriers() == []

            hand.press("#to-review")
            hand.type("#queue-number", "1")
            hand.press("#open-by-number button")
            expect(page.locator("#edit-name")).to_contain_text("1")
            expect(page.locator("#teeth .open")).to_have_count(4)
            expect(page.locator("#others")).to_be_hidden()
            assert_usable(screen)
            read_blind(hand)
            expect(page.locator("#edit-name")).to_contain_text("2")

            hand.choose("#queue-state", "disputed")
            expect(page.locator("#others")).to_contain_text("lee")
            settle(hand)
            assert_usable(screen)
            hand.press("#confirm")
            expect(page.locator("#desk-text")).to_contain_text({"en-GB": "1 done", "ko-KR": "완료 1장"}[locale])
            consensus = live.client.get("/reviews/photos/1", headers=by[1]).json()["consensus"]
            assert [box["class"] for box in consensus["boxes"]] == ["caries", "normal", "normal"]

            hand.press("#to-agreement")
            expect(page.locator("#agreement table").first).to_contain_text("lee")
            assert_usable(screen)


def read_blind(hand: Hand) -> None:
    """The first tooth is carious, the second is no tooth, the others are sound."""
    for number, button in ((1, "#as-caries"), (2, "#delete-box")):
        hand.select_box(number)
        hand.edit(button)
    hand.edit("#rest-sound")
    hand.edit("#confirm")


def settle(hand: Hand) -> None:
    """The first tooth of the list is carious."""
    if hand.way == "keyboard":
        hand.point_at("#teeth button")  # which selects it
        hand.page.keyboard.press("1")
    else:
        hand.press("#teeth button")
        hand.press("#as-caries")
