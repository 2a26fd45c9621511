"""Requests to the server and to archives."""

from __future__ import annotations

import pytest

from app.gateway.http_client import ask
from tests.app.gateway.web_server import Asked, web_server


def test_redirects_are_answers() -> None:
    with web_server(301, b"", {"Location": "/elsewhere"}) as (url, asked):
        assert ask(url, {}, b"photo", timeout_s=5, max_bytes=10).status == 301
    assert asked == [Asked("POST", "/", b"photo")]


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with web_server(200, b"body") as (url, _):
        reply = ask(url, {}, timeout_s=5, max_bytes=4)
    assert (reply.is_ok, reply.body) == (True, b"body")


def test_long_answers_are_refused() -> None:
    with web_server(200, b"body") as (url, _), pytest.raises(OSError, match="more than 3 bytes"):
        ask(url, {}, timeout_s=5, max_bytes=3)
    with web_server(500, b"x" * 100_000) as (url, _):
        assert len(ask(url, {}, timeout_s=5, max_bytes=3).body) == 65_536


def test_no_answer() -> None:
    with pytest.raises(OSError, match="refused"):
        ask("http://127.0.0.1:1", {}, timeout_s=5, max_bytes=3)
