"""`GET /` for browsers and programs, and the parts of the page."""

import re

import pytest

from app.page.built_files import POLICY
from tests.app.api.live_server import Live, Start, assert_problem

BROWSERS = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "text/html",
    "text/html, application/json;q=0.9",
)
PROGRAMS = (None, "*/*", "application/json", "application/json, text/html;q=0.5", "image/png", "")


@pytest.mark.parametrize("accept", BROWSERS)
def test_a_browser_gets_the_page(live: Live, accept: str) -> None:
    response = live.client.get("/", headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers.get_list("content-security-policy") == [POLICY]
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["vary"] == "Accept"
    assert response.text.startswith("<!doctype html>")


@pytest.mark.parametrize("accept", PROGRAMS)
def test_a_program_is_redirected_to_the_description(live: Live, accept: str | None) -> None:
    live.client.headers.pop("accept")
    response = live.client.get("/", headers={} if accept is None else {"Accept": accept})
    assert response.status_code == 307
    assert response.headers["location"] == "/docs"


def test_without_docs_a_browser_still_gets_the_page(start: Start) -> None:
    with start(docs=False) as live:
        assert live.client.get("/", headers={"Accept": BROWSERS[0]}).status_code == 200
        assert_problem(live.client.get("/"), 404, "not-found")


def test_parts_of_the_page_are_kept_by_browsers(live: Live) -> None:
    page = live.client.get("/", headers={"Accept": "text/html"}).text
    kinds = set()
    for address in re.findall(r'(?:src|href)="\.(/page/[^"]+)"', page):
        response = live.client.get(address)
        assert response.status_code == 200
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert response.headers["x-content-type-options"] == "nosniff"
        kinds.add(response.headers["content-type"])
    assert kinds == {"text/javascript; charset=utf-8", "text/css; charset=utf-8", "image/svg+xml"}


@pytest.mark.parametrize("name", ["x.js", "..%2findex.html", "%00", "index.html", "rule.js"])
def test_other_parts_are_not_found(live: Live, name: str) -> None:
    assert_problem(live.client.get(f"/page/{name}"), 404, "not-found")
