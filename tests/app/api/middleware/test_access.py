"""Keys, roles and limits over real HTTP, decided before the body is read."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from app.api import create_app
from app.api.context import context_of
from app.api.identities import MAX_WRONG_KEYS_PER_MINUTE
from app.api.middleware.access import needed_role
from app.errors import KeysError
from app.records.key_file import Key, KeyFile, Role
from app.settings import Settings
from tests.app.api.live_server import StandIn, Start

OPEN = ("/health/live", "/health/ready", "/problems/overloaded", "/", "/docs", "/openapi.json")
GUARDED = (
    ("POST", "/detect"),
    ("GET", "/models"),
    ("GET", "/models/stand-in/card"),
    ("GET", "/metrics"),
    ("POST", "/models/reload"),
    ("GET", "/nothing"),
    ("OPTIONS", "/detect"),
)


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    """The key file of this test's servers."""
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def key(file: KeyFile) -> str:
    """A key with the role detect."""
    return file.add("front desk", Role.DETECT)[1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the key file."""
    return tmp_path / "keys.json"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def assert_refused(response: httpx.Response, status: int, slug: str) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == f"/problems/{slug}"
    assert response.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
    return str(response.json()["detail"])


def altered(key: str) -> str:
    """The key with another last digit."""
    return key[:-1] + ("0" if key[-1] != "0" else "1")


def test_open_paths_and_paths_that_need_a_key(start: Start, path: Path, key: str) -> None:
    with start(keys=path) as live:
        for address in OPEN:
            assert live.client.get(address).status_code in (200, 307), address
        for script in ("swagger-ui-bundle.js", "swagger-ui.css"):
            assert live.client.get(f"/docs-static/{script}").status_code == 200
        assert live.client.get("/page/none.js").status_code == 404
        for method, address in GUARDED:
            response = live.client.request(method, address)
            assert "Authorization: Bearer KEY" in assert_refused(response, 401, "key-needed"), address
        assert live.metric("caries_problems_total", type="key-needed") == len(GUARDED)


@pytest.mark.parametrize(
    "address", ["//health/live", "/health/live/", "/health/../metrics", "/problems", "/DOCS", "/x/*"]
)
def test_paths_that_resemble_open_ones_need_a_key(start: Start, path: Path, key: str, address: str) -> None:
    with start(keys=path) as live, socket.create_connection(("127.0.0.1", live.port), timeout=10) as client:
        client.sendall(f"GET {address} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 401")


def test_every_route_outside_the_table_needs_a_key() -> None:
    paths = create_app(Settings()).openapi()["paths"]
    opened = {
        path for path, methods in paths.items() for method in methods if needed_role(method.upper(), path) is None
    }
    health = {"/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"}
    assert opened == {*health, "/problems/{slug}", "/session"}
    assert needed_role("POST", "/models/reload") is Role.ADMIN
    assert needed_role("GET", "/reviews") is needed_role("GET", "/reviews/photos/1/picture") is Role.REVIEW
    assert needed_role("GET", "*") is needed_role("DELETE", "/session") is Role.DETECT


@pytest.mark.parametrize(
    "headers",
    [
        lambda key: {"Authorization": f"Bearer {key}"},
        lambda key: {"authorization": f"bearer  {key}"},
        lambda key: {"X-API-Key": key},
        lambda key: {"Authorization": "Basic Zm9vOmJhcg==", "X-API-Key": key},
    ],
    ids=["bearer", "lower case", "X-API-Key", "in addition to Basic"],
)
def test_both_ways_to_send_a_key(start: Start, path: Path, key: str, photo: bytes, headers: Any) -> None:
    with start(keys=path) as live:
        for _ in range(2):
            answer = live.client.post("/detect?format=json", content=photo, headers=headers(key))
            assert answer.json()["verdict"] == "caries_suspected"


def test_wrong_keys_get_the_same_answer(start: Start, path: Path, key: str) -> None:
    with start(keys=path) as live:
        wrong = (altered(key), "caries_00000000_" + 64 * "0", "caries", "x" * 5000, key.upper())
        answers = [live.client.get("/models", headers=bearer(text)) for text in wrong]
        details = {assert_refused(answer, 401, "key-needed") for answer in answers}
        assert details == {"the API key is wrong or was revoked"}
        for answer in answers:
            assert "front desk" not in answer.text
        assert live.client.get("/models", headers={"X-API-Key": altered(key), **bearer(key)}).status_code == 200
        assert live.client.get("/models", headers={"X-API-Key": key, **bearer(altered(key))}).status_code == 401
        assert_refused(live.client.get(f"/models?api_key={key}"), 401, "key-needed")


def test_refusals_are_not_logged_as_errors(
    start: Start, path: Path, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    with start(keys=path) as live:
        live.client.get("/models")
        live.client.get("/models", headers=bearer(altered(key)))
    said = [record for record in caplog.records if record.name.startswith("app")]
    assert not [record for record in said if record.levelname in ("WARNING", "ERROR")]
    assert not any("caries_" in record.getMessage() for record in said)


def test_roles(start: Start, path: Path, file: KeyFile, key: str) -> None:
    admin = file.add("operator", Role.ADMIN)[1]
    with start(keys=path) as live:
        response = live.client.post("/models/reload", headers=bearer(key))
        assert assert_refused(response, 403, "role-needed") == "the API key has the role detect; this path needs admin"
        assert live.client.post("/models/reload", headers=bearer(admin)).status_code not in (401, 403)
        for address in ("/models", "/metrics"):
            for allowed in (key, admin):
                assert live.client.get(address, headers=bearer(allowed)).status_code == 200


def test_keys_are_added_and_revoked_while_the_server_runs(start: Start, path: Path, file: KeyFile, key: str) -> None:
    with start(keys=path) as live:
        assert live.client.get("/models", headers=bearer(key)).status_code == 200
        added = file.add("room 2", Role.DETECT)[1]
        assert live.client.get("/models", headers=bearer(added)).status_code == 200
        file.revoke("front desk")
        assert live.client.get("/models", headers=bearer(key)).status_code == 401
        assert live.client.get("/models", headers=bearer(added)).status_code == 200


@pytest.mark.parametrize("sent", ["", "X-API-Key: caries_00000000_{}\r\n".format(64 * "0")], ids=["missing", "wrong"])
def test_the_answer_comes_before_the_body(start: Start, path: Path, key: str, sent: str, stand_in: StandIn) -> None:
    with start(keys=path) as live, socket.create_connection(("127.0.0.1", live.port), timeout=10) as client:
        calls = stand_in.calls
        headers = f"Host: x\r\n{sent}Content-Length: 30000000\r\nExpect: 100-continue\r\n"
        client.sendall(f"POST /detect HTTP/1.1\r\n{headers}\r\n".encode())
        # A server that reads the body requests it first, with 100 Continue.
        assert client.recv(65536).startswith(b"HTTP/1.1 401")
        assert stand_in.calls == calls


def test_a_verified_key_is_not_hashed_again(
    start: Start, path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked, plain = [], Key.matches

    def matches(entry: Key, secret: str) -> bool:
        checked.append(entry.id)
        return plain(entry, secret)

    monkeypatch.setattr(Key, "matches", matches)
    with start(keys=path) as live:
        for _ in range(3):
            assert live.client.get("/models", headers=bearer(key)).status_code == 200
        assert len(checked) == 1


def test_a_burst_with_one_key_is_admitted(start: Start, path: Path, key: str) -> None:
    with start(keys=path) as live, ThreadPoolExecutor(30) as clients:
        sent = [clients.submit(live.client.get, "/models", headers=bearer(key)) for _ in range(30)]
        assert {answer.result().status_code for answer in sent} == {200}


def test_the_server_answers_while_a_key_is_checked(
    start: Start, path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate = threading.Event(), threading.Event()

    def matches(*_: object) -> bool:
        begun.set()
        return gate.wait(30)

    monkeypatch.setattr(Key, "matches", matches)
    with start(keys=path) as live, socket.create_connection(("127.0.0.1", live.port), timeout=30) as client:
        client.sendall(f"GET /models HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n\r\n".encode())
        assert begun.wait(30)
        assert live.client.get("/health/live", timeout=20).status_code == 200
        gate.set()
        assert client.recv(65536).startswith(b"HTTP/1.1 200")


def test_the_name_of_the_key_is_known_to_the_application(path: Path, key: str, start: Start) -> None:
    seen = []

    async def who(request: Request) -> None:
        seen.append(context_of(request.scope).key_name)

    for settings in ({"keys": path}, {}):
        with start(**settings) as live:
            assert isinstance(live.server.config.app, FastAPI)
            live.server.config.app.add_api_route("/who", who)
            assert live.client.get("/who", headers=bearer(key)).status_code == 200
    assert seen == ["front desk", None]


def test_limit_by_key(start: Start, path: Path, file: KeyFile, key: str) -> None:
    other = file.add("room 2", Role.DETECT)[1]
    with start(keys=path, requests_per_minute=3) as live:
        assert [live.client.get("/models", headers=bearer(key)).status_code for _ in range(4)] == [200, 200, 200, 429]
        response = live.client.get("/models", headers={"X-API-Key": key})
        assert "more than 3 requests" in assert_refused(response, 429, "too-many-requests")
        assert 1 <= int(response.headers["retry-after"]) <= 60
        assert live.client.get("/models", headers=bearer(other)).status_code == 200
        assert live.client.get("/health/ready").status_code == 200


def test_limit_by_address_without_keys(start: Start) -> None:
    with start(requests_per_minute=2) as live:
        assert [live.client.get("/models").status_code for _ in range(3)] == [200, 200, 429]
        assert {live.client.get("/health/live").status_code for _ in range(5)} == {200}


def test_no_limit(start: Start) -> None:
    with start(requests_per_minute=0) as live:
        assert {live.client.get("/models").status_code for _ in range(30)} == {200}


def test_wrong_keys_are_limited_and_lock_out_no_other_key(start: Start, path: Path, file: KeyFile, key: str) -> None:
    unknown = "caries_00000000_" + 64 * "0"
    other = file.add("room 2", Role.DETECT)[1]
    with start(keys=path) as live:
        for number in range(MAX_WRONG_KEYS_PER_MINUTE):
            response = live.client.get("/models", headers=bearer(unknown if number % 2 else altered(other)))
            assert_refused(response, 401, "key-needed")
        for wrong in (unknown, altered(other)):
            response = live.client.get("/models", headers=bearer(wrong))
            assert "wrong API keys" in assert_refused(response, 429, "too-many-requests")
            assert 1 <= int(response.headers["retry-after"]) <= 60
        assert live.client.get("/models", headers=bearer(key)).status_code == 200


def test_guessing_one_key_stops_costing_time(
    start: Start, path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = []

    def matches(entry: Key, _: str) -> bool:
        checked.append(entry.id)
        return False

    monkeypatch.setattr(Key, "matches", matches)
    with start(keys=path) as live:
        for _ in range(MAX_WRONG_KEYS_PER_MINUTE + 5):
            live.client.get("/models", headers=bearer(key))
        assert len(checked) == MAX_WRONG_KEYS_PER_MINUTE


ELSEWHERE = {"Origin": "https://elsewhere.example"}


@pytest.mark.parametrize(
    "headers",
    [
        ELSEWHERE,
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Host": "elsewhere.example"},
        {"Host": "elsewhere.example.:8000", "Origin": "http://elsewhere.example.:8000"},
        {"Host": "127.0.0.1.elsewhere.example:8000"},
        {"Host": "[::1"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_without_keys_another_sites_page_is_refused(start: Start, photo: bytes, headers: dict[str, str]) -> None:
    with start(requests_per_minute=4) as live:
        for _ in range(6):
            answer = live.client.post("/models/reload", content='{"version": 1}', headers=headers)
            assert_refused(answer, 403, "foreign-page")
        assert_refused(live.client.post("/detect", content=photo, headers=headers), 403, "foreign-page")
        # Programs on this machine are neither counted nor refused.
        assert live.client.post("/detect", content=photo).status_code == 200


@pytest.mark.parametrize("address", ["/models", "/metrics"])
def test_without_keys_a_public_host_name_is_refused(start: Start, address: str) -> None:
    with start() as live:
        assert_refused(live.client.get(address, headers={"Host": "elsewhere.example"}), 403, "foreign-page")
        assert live.client.get("/health/ready", headers={"Host": "elsewhere.example"}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8000", "127.0.0.1:9", "[::1]:8000", "workstation-3", "caries.localhost", "localhost."],
)
def test_without_keys_the_own_page_and_programs_are_answered(start: Start, photo: bytes, host: str) -> None:
    own = {"Host": host, "Origin": f"http://{host.lower()}", "Sec-Fetch-Site": "same-origin"}
    with start() as live:
        for headers in ({"Host": host}, own):
            assert live.client.post("/detect", content=photo, headers=headers).status_code == 200
        assert live.client.get("/models", headers={"Host": host, **ELSEWHERE}).status_code == 200


def test_with_a_key_any_host_name_is_accepted(start: Start, path: Path, key: str, photo: bytes) -> None:
    with start(keys=path) as live:
        headers = {**bearer(key), "Host": "caries.clinic.example", **ELSEWHERE}
        assert live.client.post("/detect", content=photo, headers=headers).status_code == 200


def test_description_lists_the_ways_to_send_a_key(start: Start, path: Path, key: str) -> None:
    with start(keys=path) as live:
        description = live.client.get("/openapi.json").json()
        assert live.client.get("/openapi.json").json() == description
    assert description["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer KEY"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "session": {
            **{"type": "apiKey", "in": "cookie", "name": "caries-session"},
            "description": "Set by POST /session; over HTTPS its name begins with __Host-.",
        },
    }
    paths = description["paths"]
    assert paths["/detect"]["post"]["security"] == [{"bearer": []}, {"header": []}, {"session": []}]
    assert {"401", "403", "429"} <= set(paths["/detect"]["post"]["responses"])
    assert {"401", "429"} <= set(paths["/models"]["get"]["responses"])
    assert "403" not in paths["/models"]["get"]["responses"]
    for open_operation in (paths["/health/ready"]["get"], paths["/session"]["get"], paths["/session"]["post"]):
        assert "security" not in open_operation
    assert {"401", "403", "429"} <= set(paths["/session"]["post"]["responses"])


def test_description_without_keys_mentions_none(start: Start) -> None:
    with start() as live:
        description = live.client.get("/openapi.json").json()
    assert "securitySchemes" not in description["components"]
    assert "security" not in description["paths"]["/detect"]["post"]
    assert "401" not in description["paths"]["/detect"]["post"]["responses"]
    assert "another site" in description["paths"]["/detect"]["post"]["responses"]["403"]["description"]


def test_a_server_does_not_start_with_a_broken_key_file(path: Path) -> None:
    with pytest.raises(KeysError, match="cannot be read"):
        create_app(Settings(keys=path))
    path.write_text("{", encoding="utf-8")
    with pytest.raises(KeysError, match="not a file of API keys"):
        create_app(Settings(keys=path))
