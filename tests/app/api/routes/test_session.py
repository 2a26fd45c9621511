"""Signing in and out over real HTTP, as a browser does it, and what remains of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.identities import MAX_MISSING_KEYS_PER_MINUTE, MAX_WRONG_KEYS_PER_MINUTE
from app.records.key_file import KeyFile, Role
from app.records.sessions import MemorySessions, Session
from tests.app.api.live_server import Live, Start, assert_problem, records
from tests.app.reviews.databases import empty_location

OWN = {"Sec-Fetch-Site": "same-origin"}
"""What a browser sends from this server's page."""

WRONG = "caries_00000000_" + 64 * "0"


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def key(file: KeyFile) -> str:
    return file.add("room 1", Role.REVIEW)[1]


@pytest.fixture
def live(start: Start, tmp_path: Path, key: str) -> Iterator[Live]:
    with start(keys=tmp_path / "keys.json", audit=tmp_path / "audit") as running:
        yield running


def sign_in(client: httpx.Client, key: str, **headers: str) -> httpx.Response:
    return client.post("/session", json={"key": key}, headers={**OWN, **headers})


def test_a_browser_signs_in_works_and_signs_out(live: Live, key: str, photo: bytes, tmp_path: Path) -> None:
    client, nothing = live.client, {"name": None, "role": None, "expires_at": None}
    assert client.get("/session").json() == {"required": True, "reviews": False, **nothing}
    before = datetime.now(UTC)
    answer = sign_in(client, key)
    assert answer.status_code == 201
    assert {name: answer.json()[name] for name in ("name", "role")} == {"name": "room 1", "role": "review"}
    lifetime = datetime.fromisoformat(answer.json()["expires_at"]) - before
    assert timedelta(hours=12) <= lifetime < timedelta(hours=12, minutes=1)
    assert client.get("/session").json() == {"required": True, "reviews": False, **answer.json()}
    assert client.get("/models").status_code == 200
    assert client.post("/detect?format=json", content=photo, headers=OWN).status_code == 200
    assert_problem(client.post("/models/reload", headers=OWN), 403, "role-needed")
    out = client.delete("/session", headers=OWN)
    assert (out.status_code, out.content) == (204, b"")
    assert not client.cookies
    assert client.get("/session").json()["name"] is None
    assert client.get("/models").status_code == 401
    lines = [(line["key"], line["route"], line["status"], line.get("event")) for line in records(tmp_path / "audit")]
    assert lines == [
        ("room 1", "/session", 201, "sign_in"),
        ("room 1", "/models", 200, None),
        ("room 1", "/detect", 200, None),
        ("room 1", "/models/reload", 403, None),
        ("room 1", "/session", 204, "sign_out"),
        (None, "/models", 401, None),
    ]


def test_made_up_cookies_are_limited_and_do_not_lock_a_session_out(
    live: Live, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []
    find = MemorySessions.find

    def note_and_find(sessions: MemorySessions, digest: str) -> Session | None:
        found.append(digest)
        return find(sessions, digest)

    monkeypatch.setattr(MemorySessions, "find", note_and_find)
    assert sign_in(live.client, key).status_code == 201
    assert live.client.get("/session").json()["name"] == "room 1"
    with httpx.Client(base_url=live.client.base_url) as unknown:
        for number in range(MAX_MISSING_KEYS_PER_MINUTE):
            assert unknown.get("/session", headers={"Cookie": f"caries-session={number:043}"}).status_code == 200
        reads = len(found)
        for path in ("/session", "/models"):
            answer = unknown.get(path, headers={"Cookie": f"caries-session={99:043}"})
            assert_problem(answer, 429, "too-many-requests")
        assert len(found) == reads
    assert live.client.get("/session").json()["name"] == "room 1"
    assert live.client.get("/models").status_code == 200


@pytest.mark.parametrize(
    ("headers", "name", "is_secure"),
    [({}, "caries-session", False), ({"X-Forwarded-Proto": "https"}, "__Host-caries-session", True)],
)
def test_the_cookie(live: Live, key: str, headers: dict[str, str], name: str, is_secure: bool) -> None:
    sent = sign_in(live.client, key, Host="caries.clinic.example" if is_secure else "localhost", **headers)
    (cookie,) = SimpleCookie(sent.headers["set-cookie"]).values()
    assert cookie.key == name
    assert cookie["httponly"]
    assert bool(cookie["secure"]) is is_secure
    assert (cookie["samesite"], cookie["path"], cookie["domain"]) == ("strict", "/", "")
    assert int(cookie["max-age"]) == 43200
    carried = {"Cookie": f"{name}={cookie.value}", **headers}
    live.client.cookies.clear()
    assert live.client.get("/models", headers=carried).status_code == 200
    other = {"Cookie": f"{name}={cookie.value}", "X-Forwarded-Proto": "http" if is_secure else "https"}
    assert live.client.get("/models", headers=other).status_code == 401


def test_only_over_https_from_another_machine(live: Live, key: str) -> None:
    answer = sign_in(live.client, key, Host="caries.clinic.example")
    assert "needs HTTPS" in assert_problem(answer, 403, "https-needed")["detail"]
    assert "set-cookie" not in answer.headers


def test_a_wrong_key_is_refused_counted_and_not_repeated(live: Live, key: str, tmp_path: Path) -> None:
    wrong = key[:-1] + ("0" if key[-1] != "0" else "1")
    for number in range(MAX_WRONG_KEYS_PER_MINUTE):
        answer = sign_in(live.client, wrong if number % 2 else WRONG)
        assert assert_problem(answer, 401, "key-needed")["detail"] == "the API key is wrong or was revoked"
    assert "wrong API keys" in assert_problem(sign_in(live.client, wrong), 429, "too-many-requests")["detail"]
    assert live.client.get("/models", headers={"X-API-Key": WRONG}).status_code == 429, "the limit is shared"
    assert sign_in(live.client, key).status_code == 201
    lines = records(tmp_path / "audit")
    first = next(line for line in lines if line["status"] == 401)
    assert (first["key"], first["event"], first["requests"]) == (None, "sign_in", 1)
    assert wrong[:20] not in json.dumps(lines)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"Key": "SECRET"}',
        '{"SECRET": "key"}',
        '{"key": 1, "a": "SECRET"}',
        '{"key": "' + 300 * "S" + '"}',
        "x" * 2000,
    ],
)
def test_bodies_that_are_refused(live: Live, content: str) -> None:
    answer = live.client.post("/session", content=content.replace("SECRET", WRONG), headers=OWN)
    assert_problem(answer, 422, "invalid-parameter")
    assert WRONG[:20] not in answer.text
    assert 20 * "S" not in answer.text


def test_other_pages_cannot_use_the_cookie_or_sign_in(live: Live, key: str, photo: bytes, tmp_path: Path) -> None:
    forged = [{"Sec-Fetch-Site": "same-site"}, {"Origin": "http://127.0.0.1:9"}, {"Sec-Fetch-Site": "none"}]
    for headers in forged:
        assert_problem(live.client.post("/session", json={"key": key}, headers=headers), 403, "forged-request")
    own = {"Origin": f"http://127.0.0.1:{live.port}"}
    assert live.client.post("/session", json={"key": key}, headers=own).status_code == 201
    requests: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("POST", "/detect?format=json", {"content": photo}),
        ("POST", "/detect/batch", {"files": {"files": ("a.jpg", photo)}}),
        ("POST", "/models/reload", {}),
        ("DELETE", "/session", {}),
    )
    for method, path, options in requests:
        for headers in (*forged, {}):
            answer = live.client.request(method, path, headers=headers, **options)
            assert_problem(answer, 403, "forged-request")
    assert live.client.get("/session").json()["name"] == "room 1"
    assert live.client.post("/detect?format=json", content=photo, headers=own).status_code == 200
    # A key in a header is no cookie, and takes precedence.
    with_key = {"Sec-Fetch-Site": "cross-site", "X-API-Key": key}
    assert live.client.post("/detect?format=json", content=photo, headers=with_key).status_code == 200
    assert live.client.get("/models", headers={"X-API-Key": WRONG}).status_code == 401
    lines = [line for line in records(tmp_path / "audit") if line["problem"] == "forged-request"]
    assert {line["key"] for line in lines} == {None}, "the key's holder did not send them"
    assert len(lines) <= 4, "and they do not fill the log"


def test_a_session_ends_with_its_key_and_in_time(
    live: Live, key: str, file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sign_in(live.client, key).status_code == 201
    find = MemorySessions.find

    def expired(store: MemorySessions, digest: str) -> Session | None:
        found = find(store, digest)
        return found and Session(found.key_id, found.created_at, datetime.now(UTC))

    with monkeypatch.context() as patch:
        patch.setattr(MemorySessions, "find", expired)
        refused = assert_problem(live.client.get("/models"), 401, "key-needed")
        assert refused["detail"] == "the session has ended; sign in again"
    assert live.client.get("/models").status_code == 200
    file.revoke("room 1")
    assert live.client.get("/models").status_code == 401
    state = live.client.get("/session")
    assert (state.status_code, state.json()["name"]) == (200, None)
    assert not live.client.cookies, "the browser forgets a session that has ended"


def test_a_session_shares_the_limit_of_its_key(start: Start, tmp_path: Path, key: str) -> None:
    with start(keys=tmp_path / "keys.json", requests_per_minute=3) as live:
        assert sign_in(live.client, key).status_code == 201
        statuses = [live.client.get("/models").status_code for _ in range(2)]
        statuses += [
            live.client.get("/models", headers={"X-API-Key": key}).status_code,
            sign_in(live.client, key).status_code,
        ]
        assert statuses == [200, 200, 429, 429]
        assert live.client.get("/session").json()["name"] == "room 1"


def test_requests_with_unknown_cookies_are_limited(live: Live) -> None:
    cookie = {"Cookie": f"caries-session={43 * 'A'}"}
    statuses = [live.client.get("/models", headers=cookie).status_code for _ in range(61)]
    assert statuses == [401] * 60 + [429]


def test_signing_in_again_ends_the_session_before(live: Live, key: str) -> None:
    sign_in(live.client, key)
    first = live.client.cookies["caries-session"]
    sign_in(live.client, key)
    second = live.client.cookies["caries-session"]
    live.client.cookies.clear()
    for token, status in ((first, 401), (second, 200)):
        assert live.client.get("/models", headers={"Cookie": f"caries-session={token}"}).status_code == status


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_sessions_of_servers_that_share_a_store(
    request: pytest.FixtureRequest, start: Start, tmp_path: Path, key: str, database: str
) -> None:
    location = empty_location(request, database, tmp_path)
    settings = {"keys": tmp_path / "keys.json", "reviews": location}
    with start(**settings, audit=tmp_path / "audit") as one, httpx.Client(base_url=one.client.base_url) as tablet:
        assert sign_in(one.client, key).status_code == 201
        assert sign_in(tablet, key).status_code == 201
        with start(**settings) as two:
            two.client.cookies = one.client.cookies
            assert two.client.get("/session").json() == {**one.client.get("/session").json(), "reviews": True}
            assert two.client.get("/reviews/photos").status_code == 200
            assert two.client.delete("/session?everywhere=true", headers=OWN).status_code == 204
        for client in (one.client, tablet):
            assert client.get("/reviews/photos").status_code == 401
        assert sign_in(tablet, key).status_code == 201
        signed_out = one.client.delete("/session?everywhere=true", headers={"X-API-Key": key})
        assert signed_out.status_code == 204
        assert tablet.get("/models").status_code == 401
    (line,) = [line for line in records(tmp_path / "audit") if line.get("event") == "sign_out"]
    assert (line["key"], line["sessions"]) == ("room 1", 1)


def test_a_server_without_keys_needs_no_sign_in(start: Start) -> None:
    with start() as live:
        state = live.client.get("/session").json()
        assert state == {"required": False, "name": None, "role": None, "expires_at": None, "reviews": False}
        for method in ("POST", "DELETE"):
            answer = live.client.request(method, "/session")
            assert_problem(answer, 405, "method-not-allowed")
            assert answer.headers["allow"] == "GET"
        assert "post" not in live.client.get("/openapi.json").json()["paths"]["/session"]
