"""One path through the screening page, in Chromium and against a real server. The matrix has the others."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.app.api.live_server import JSON, Live, make_photo
from tests.app.page.screen import opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow


def test_from_photos_to_the_report(clinic: Live, browser: Browser) -> None:
    from playwright.sync_api import expect

    photo = make_photo()
    with opened(browser, clinic, viewport={"width": 1280, "height": 900}) as screen:
        page = screen.page
        screen.add(("front.jpg", photo), ("broken.gif", b"GIF89a"), ("dark.jpg", make_photo(light=10)))
        screen.wait_until_done(3)

        # Verdict and boxes of the first photo, at the model's own operating point.
        expect(page.locator("#verdict h3")).to_have_text("Caries suspected")
        assert screen.marks() == ["1, Suspected caries, 80 %", "2, Suspected caries, 61.2 %"]
        expect(page.locator("#viewer .a9s-annotation")).to_have_count(2)
        expect(page.locator("#points button[aria-pressed=true]")).to_have_text("Balanced 50 %")
        expect(page.locator("#figures")).to_have_text(
            "Of 100 carious teeth about 60 are marked, with 1.4 wrong marks a photo."
        )

        # A row lights up its box, by keyboard; a box its row, by mouse.
        page.locator("#marks button").first.focus()
        expect(page.locator("#viewer g[data-id='1']")).to_have_class("a9s-annotation screened lit")
        page.keyboard.press("Tab")
        expect(page.locator("#viewer g[data-id='2']")).to_have_class("a9s-annotation screened lit")
        box = page.locator("#viewer g[data-id='1'] .a9s-inner").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        expect(page.locator("#marks button").first).to_have_class("mark screened lit")

        # Thresholds by slider and by name; the page needs the server for none of them.
        requests = clinic.metric("caries_requests_total", route="/detect", method="POST", status="200")
        screen.set_threshold(0.7)
        expect(page.locator("#marks button")).to_have_count(1)
        screen.set_threshold(0.85)
        expect(page.locator("#verdict h3")).to_have_text("No caries found")
        page.locator("#points button", has_text="Specific").click()
        page.locator("#all-classes").check()
        expect(page.locator("#marks button")).to_have_count(2)
        assert clinic.metric("caries_requests_total", route="/detect", method="POST", status="200") == requests

        # What is saved is what the server answers.
        answer = clinic.client.post("/detect?operating_point=specific&classes=all", content=photo, headers=JSON).json()
        first, broken, dark = screen.saved_json()
        for name in ("model", "image", "verdict", "reasons", "teeth_seen", "detections", "hidden_by_max_boxes"):
            assert first[name] == answer[name]
        assert first["operating_point"] == answer["operating_point"]
        assert first["file"] == "front.jpg"
        assert broken["problem"]["type"] == "/problems/unsupported-photo"
        assert (dark["verdict"], dark["reasons"]) == ("not_assessable", ["too_dark"])
        rows = list(csv.DictReader(io.StringIO(screen.download("#save-csv").decode("utf-8-sig"))))
        assert [row["file"] for row in rows] == ["front.jpg", "front.jpg", "broken.gif", "dark.jpg", "dark.jpg"]
        assert [row["score"] for row in rows[:2]] == ["0.8", "0.9"]
        assert rows[2]["problem"] == "The picture format is not accepted"
        picture = Image.open(io.BytesIO(screen.download("#save-png")))
        assert picture.format == "PNG"
        assert picture.width == 320

        # The others: the server's own sentence, and reasons in words.
        screen.open_photo("dark.jpg")
        expect(page.locator("#verdict")).to_contain_text("The photo is too dark")
        screen.open_photo("broken.gif")
        expect(page.locator("#verdict")).to_contain_text(
            "The picture format is not accepted: GIF files are not accepted"
        )
        page.select_option("#language", "ko")
        expect(page.locator("#verdict")).to_contain_text("지원하지 않는 사진 형식입니다")
        screen.open_photo("front.jpg")
        expect(page.locator("#verdict h3")).to_have_text("충치 의심")
        assert page.locator("html").get_attribute("lang") == "ko"
        page.reload()
        expect(page.locator("h1")).to_have_text("충치 선별")

        # The report has a page for each photo with a result.
        screen.add(("front.jpg", photo))
        screen.wait_until_done(1)
        expect(page.locator("#report article")).to_have_count(1)
        page.emulate_media(media="print")
        expect(page.locator("#report")).to_contain_text("의료기기가 아닙니다")
        expect(page.locator("#report")).to_contain_text(answer["model"]["sha256"])
        expect(page.locator("main")).to_be_hidden()
        assert page.locator("#report img").evaluate("image => image.complete && image.naturalWidth") == 320
        page.emulate_media(media="screen")
        assert screen.barriers() == []
