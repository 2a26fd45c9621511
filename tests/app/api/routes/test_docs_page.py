"""Swagger UI without the internet, under its own policy."""

import base64
import hashlib
import re

from tests.app.api.live_server import Live, Start


def test_the_docs_page_needs_no_internet(start: Start) -> None:
    with start() as live:
        page = live.client.get("/docs").text
        addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert any(address.endswith(".js") for address in addresses)
        for address in addresses:
            assert address.startswith("/"), address
            assert live.client.get(address).status_code == 200


def test_the_docs_page_may_run_its_own_scripts_only(live: Live) -> None:
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


def test_docs_turned_off(start: Start) -> None:
    with start(docs=False) as live:
        for address in ("/docs", "/openapi.json", "/docs-static/swagger-ui.css", "/", "/redoc"):
            response = live.client.get(address)
            assert response.status_code == 404, address
            assert response.json()["type"] == "/problems/not-found"
            assert "/docs;" not in response.text
            assert "see /docs" not in response.text
        assert live.client.get("/health/ready").status_code == 200
