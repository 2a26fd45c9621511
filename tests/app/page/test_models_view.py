"""The models of the store, how they compared, and one put live and back with the role `admin`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("alembic", reason="the extra reviews is not installed")

from app.detector.bundle import MANIFEST, read_bundle
from app.records.key_file import KeyFile, Role
from tests.app.api.live_server import live_models, make_photo, write_bundle
from tests.app.api.routes.test_catalogue import keep_comparison
from tests.app.page.screen import Screen, opened
from tests.app.page.test_review_matrix import is_wider_than_the_window
from tests.app.page.test_review_page import LAPTOP, Reviewing
from tests.app.page.test_screening_matrix import SIZES, size
from tests.app.page.test_sign_in import sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

pytestmark = pytest.mark.slow


def write_store(folder: Path) -> None:
    """A second version that is better than the first, and a third that was refused."""
    second = write_bundle(folder, version=2)
    keep_comparison(second, read_bundle(second, verify=False).sha256)
    worse = {"old": 0.6, "new": 0.5, "difference": -0.1, "interval": [-0.15, 0.05]}
    figures = {source: {"F1": worse} for source in ("clinic", "mean")}
    keep_comparison(
        second.with_name("3"),
        "3" * 64,
        **{"is_better": False, "created": "2026-12-01T12:00:00+00:00", "figures": figures, "reason": "it is worse"},
    )


def cells(screen: Screen, table: int) -> list[list[str]]:
    rows = screen.page.locator("#models-tables table").nth(table).locator("tr").all()
    return [row.locator("th, td").all_inner_texts() for row in rows]


def test_a_model_is_put_live_and_back(reviewing: Reviewing, browser: Browser, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    key = KeyFile(tmp_path / "keys.json").add("head", Role.ADMIN)[1]
    write_store(tmp_path)
    with (
        reviewing(keys=tmp_path / "keys.json") as live,
        opened(browser, live, signed_in=False, viewport=LAPTOP) as screen,
    ):
        page = screen.page
        live.client.headers["Authorization"] = f"Bearer {key}"
        sign_in(screen, key)
        screen.add(("a.jpg", make_photo()))
        screen.wait_until_done(1)
        page.click("#to-models")
        expect(page.locator("#models-tables table")).to_have_count(3)
        assert cells(screen, 0) == [
            ["Model", "State", "Score threshold", "Change"],
            ["stand-in 1", "In the store", "50 %", "Put live"],
            ["stand-in 2", "Live", "50 %", ""],
        ]
        expect(page.locator("#models-tables caption").nth(1)).to_have_text(
            "stand-in 3 against stand-in 2, 1 Dec 2026: F1"
        )
        assert cells(screen, 1) == [
            ["Source", "Photos", "stand-in 2", "stand-in 3", "Difference, 95 % interval"],
            ["Mean of the sources", "20", "0.600", "0.500", "-0.100 [-0.150, +0.050]"],
            ["clinic", "20", "0.600", "0.500", "-0.100 [-0.150, +0.050]"],
        ]
        expect(page.locator("#models-tables > p")).to_have_text(["Not better. it is worse.", "Better. it is."])
        assert screen.barriers() == []

        # By keyboard: the first model goes live, and back by the same button of the other.
        for version in (1, 2):
            page.get_by_role("button", name=f"Put stand-in {version} live").focus()
            page.keyboard.press("Enter")
            expect(page.locator("#models-state")).to_have_text(f"stand-in {version} is live now.")
            expect(page.locator("#models")).to_be_focused()
            assert live_models(live) == [("stand-in", version, True)]
        page.get_by_role("button", name="Put stand-in 1 live").click()
        expect(page.locator(".live th")).to_have_text("stand-in 1")

        # A photo from before is said to show the former model's marks.
        page.click("#to-screening")
        expect(page.locator("#notices")).to_contain_text("The server has a new model.")

        # A bundle that cannot be used says why, and the live one stays.
        manifest = tmp_path / "stand-in" / "2" / MANIFEST
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"screened_class": "normal"}))
        page.click("#to-models")
        page.get_by_role("button", name="Put stand-in 2 live").click()
        expect(page.locator("#models-state")).to_contain_text("The live model was not replaced: ")
        expect(page.get_by_role("button", name="Put stand-in 2 live")).to_be_enabled()
        assert live_models(live) == [("stand-in", 1, True)]


def test_a_photo_that_is_done_before_the_models_are_known(
    reviewing: Reviewing, browser: Browser, tmp_path: Path
) -> None:
    """A new model is told all the same."""
    from playwright.sync_api import expect

    write_store(tmp_path)
    held: list[Route] = []
    with reviewing() as live, opened(browser, live, viewport=LAPTOP) as screen:
        page = screen.page
        page.route("**/models", lambda route: held.append(route))
        with page.expect_request("**/models"):
            page.reload()
        screen.add(("a.jpg", make_photo()))
        screen.wait_until_done(1)
        for route in held:
            route.continue_()
        page.unroute("**/models")
        page.click("#to-models")
        page.get_by_role("button", name="Put stand-in 1 live").click()
        expect(page.locator("#notices")).to_contain_text("The server has a new model.")


@pytest.mark.systems
def test_another_role_does_not_see_the_models(reviewing: Reviewing, browser: Browser, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    key = KeyFile(tmp_path / "keys.json").add("kim", Role.REVIEW)[1]
    with (
        reviewing(keys=tmp_path / "keys.json") as live,
        opened(browser, live, signed_in=False, viewport=LAPTOP) as screen,
    ):
        sign_in(screen, key)
        expect(screen.page.locator("#to-agreement")).to_be_visible()
        expect(screen.page.locator("#to-models")).to_be_hidden()
        screen.page.goto("/#models")
        expect(screen.page.locator("#models")).to_be_hidden()
        expect(screen.page.locator("#screening")).to_be_visible()


@pytest.mark.systems
@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("locale", ["en-GB", "ko-KR"])
def test_every_size_and_language(
    reviewing: Reviewing, browser: Browser, tmp_path: Path, name: str, locale: str
) -> None:
    from playwright.sync_api import expect

    write_store(tmp_path)
    with reviewing() as live, opened(browser, live, locale=locale, **size(name)) as screen:
        page = screen.page
        go, button = page.locator("#to-models"), page.locator("#models-tables button")
        expect(go).to_have_text({"en-GB": "Models", "ko-KR": "모델"}[locale])
        if name == "phone":
            go.tap()
            button.tap()
        else:
            go.click()
            button.click()
        said = {"en-GB": "stand-in 1 is live now.", "ko-KR": "이제 stand-in 1 모델이 적용됩니다."}[locale]
        expect(page.locator("#models-state")).to_have_text(said)
        assert screen.barriers() == []
        assert not is_wider_than_the_window(screen)


@pytest.mark.systems
def test_a_lost_connection_is_tried_again(reviewing: Reviewing, browser: Browser, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    write_store(tmp_path)

    def lose(route: Route) -> None:
        route.fetch()
        route.abort("connectionreset")

    with reviewing() as live, opened(browser, live, viewport=LAPTOP) as screen:
        page = screen.page
        page.click("#to-models")
        page.route("**/models/reload", lose, times=1)
        page.locator("#models-tables button").click()
        expect(page.locator("#models-state")).to_contain_text("No connection to the server.")
        expect(page.locator("#models-state")).to_have_text("stand-in 1 is live now.")
        assert live_models(live) == [("stand-in", 1, True)]
