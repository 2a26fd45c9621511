"""What browsers are told: nothing for other origins, and as little trust as possible."""

import base64
import hashlib
import re

import pytest

from app.api.middleware.security_headers import HEADERS
from tests.app.api.live_server import Live, StandIn, Start

ORIGIN = {"Origin": "https://elsewhere.example"}


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("GET", "/health/live", 200),
        ("POST", "/detect", 422),
        ("GET", "/nothing", 404),
        ("PUT", "/detect", 405),
        ("GET", "/metrics", 200),
        ("GET", "/", 307),
        ("GET", "/docs-static/swagger-ui.css", 200),
    ],
)
def test_every_answer_has_them(live: Live, method: str, address: str, status: int) -> None:
    response = live.client.request(method, address)
    assert response.status_code == status
    for name, value in HEADERS.items():
        assert response.headers.get_list(name) == [value], name


def test_photos_refusals_and_mistakes_have_them(start: Start, stand_in: StandIn, photo: bytes) -> None:
    with start(requests_per_minute=2) as live:
        answers = [live.client.post("/detect", content=photo)]
        stand_in.failure = RuntimeError("x")
        answers += [live.client.post("/detect", content=photo) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 500, 429]
        for answer in answers:
            for name, value in HEADERS.items():
                assert answer.headers.get_list(name) == [value], name


@pytest.mark.parametrize("address", ["/detect", "/models", "/health/live", "/docs", "/nothing"])
def test_cors_is_closed(live: Live, address: str) -> None:
    preflight = {**ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    for response in (
        live.client.get(address, headers=ORIGIN),
        live.client.post(address, headers=ORIGIN),
        live.client.options(address, headers=preflight),
    ):
        assert not [name for name in response.headers if name.startswith("access-control-")], address
        assert response.headers["cross-origin-resource-policy"] == "same-origin"
    assert live.client.options(address, headers=preflight).status_code in (404, 405)


def test_the_docs_page_may_run_its_own_scripts_alone(live: Live) -> None:
    response = live.client.get("/docs")
    (policy,) = response.headers.get_list("content-security-policy")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    allowed = rules["script-src"].split()
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*"} & set(allowed)
    inline = re.findall(r"<script>(.*?)</script>", response.text, re.DOTALL)
    assert inline
    for script in inline:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in allowed
    assert len(re.findall("<script", response.text)) == len(inline) + 1, "a script that the policy was not made for"
    assert not re.search(r"\son\w+=", response.text)


def test_docs_that_are_off(start: Start) -> None:
    with start(docs=False) as live:
        for address in ("/docs", "/openapi.json", "/docs-static/swagger-ui.css", "/", "/redoc"):
            response = live.client.get(address)
            assert response.status_code == 404, address
            assert response.json()["type"] == "/problems/not-found"
            assert "/docs;" not in response.text
            assert "see /docs" not in response.text
        assert live.client.get("/health/ready").status_code == 200
