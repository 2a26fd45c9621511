"""Keys, limits and headers over real HTTP."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.api import access
from app.keys import Role, add_key, revoke_key
from app.settings import Settings, is_loopback

ROOT = Path(__file__).parents[3]
JSON = {"Accept": "application/json"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.json"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", **JSON}


def test_photos_are_screened_with_a_key_and_not_without(start, path, photo) -> None:
    key = add_key(path, "desk", Role.DETECT)
    with start(keys=path) as live:
        for headers in (JSON, bearer(key[:-1]), {"Authorization": f"Basic {key}", **JSON}, {"X-API-Key": "", **JSON}):
            answer = live.client.post("/detect", content=photo, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["type"] == "/problems/unauthorized"
        for headers in (bearer(key), {"X-API-Key": key, **JSON}, {"Authorization": f"bearer {key}", **JSON}):
            assert live.client.post("/detect", content=photo, headers=headers).status_code == 200
        revoke_key(path, "desk")
        assert live.client.post("/detect", content=photo, headers=bearer(key)).status_code == 401


@pytest.mark.parametrize(
    ("method", "address", "without", "detect", "admin"),
    [
        ("GET", "/health/live", 200, 200, 200),
        ("GET", "/health/ready", 200, 200, 200),
        ("GET", "/problems/unauthorized", 200, 200, 200),
        ("GET", "/docs", 200, 200, 200),
        ("GET", "/openapi.json", 200, 200, 200),
        ("GET", "/models", 401, 200, 200),
        ("GET", "/models/stand-in/card", 401, 200, 200),
        ("GET", "/metrics", 401, 200, 200),
        ("GET", "/nothing", 401, 404, 404),
        ("POST", "/models/reload", 401, 403, 200),
    ],
)
def test_what_each_role_may(start, path, method, address, without, detect, admin) -> None:
    keys = {role: add_key(path, role, role) for role in Role}
    with start(keys=path) as live:
        assert live.client.request(method, address).status_code == without
        assert live.client.request(method, address, headers=bearer(keys[Role.DETECT])).status_code == detect
        assert live.client.request(method, address, headers=bearer(keys[Role.ADMIN])).status_code == admin


def test_a_body_without_a_key_is_not_waited_for(start, path) -> None:
    add_key(path, "desk", Role.DETECT)
    with start(keys=path) as live, socket.create_connection(("127.0.0.1", live.port), timeout=10) as connection:
        connection.sendall(
            b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 9999999\r\n\r\n"
        )
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"unauthorized" in answer


def test_wrong_keys_are_limited_by_address_and_right_ones_are_not(start, path, photo, monkeypatch) -> None:
    monkeypatch.setattr(access, "WRONG_KEYS_PER_MINUTE", 3)
    key = add_key(path, "desk", Role.DETECT)
    with start(keys=path) as live:
        assert live.client.get("/models", headers=bearer(key)).status_code == 200
        statuses = [live.client.get("/models", headers=bearer(f"{key[:-1]}{n}x")).status_code for n in range(5)]
        assert statuses == [401, 401, 401, 429, 429]
        assert live.client.get("/models", headers=bearer(key)).status_code == 200


def test_requests_are_limited_by_key(start, path) -> None:
    first, second = (add_key(path, name, Role.DETECT) for name in ("one", "two"))
    with start(keys=path, requests_per_minute=3) as live:
        statuses = [live.client.get("/models", headers=bearer(first)).status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        refused = live.client.get("/models", headers=bearer(first))
        assert int(refused.headers["retry-after"]) > 0
        assert refused.json()["type"] == "/problems/too-many-requests"
        assert live.client.get("/models", headers=bearer(second)).status_code == 200
        assert live.client.get("/health/live").status_code == 200


def test_without_keys_requests_are_limited_by_address(start) -> None:
    with start(requests_per_minute=2) as live:
        assert [live.client.get("/models").status_code for _ in range(3)] == [200, 200, 429]


def test_other_sites_are_kept_out(live, photo) -> None:
    origin = {"Origin": "https://elsewhere.example", **JSON}
    asked = {**origin, "Access-Control-Request-Method": "POST"}
    answers = [
        live.client.post("/detect", content=photo, headers=origin),
        live.client.request("OPTIONS", "/detect", headers=asked),
        live.client.get("/nothing", headers=origin),
        live.client.get("/docs", headers=origin),
    ]
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"]
    assert "script-src" not in answers[0].headers["content-security-policy"]
    page = answers[3]
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert not re.search(r"(src|href)=\"https?://", page.text)


def test_the_page_can_be_switched_off(start) -> None:
    with start(docs="off") as live:
        for address in ("/docs", "/openapi.json"):
            assert live.client.get(address).status_code == 404


def test_the_description_names_both_ways_to_send_a_key(live) -> None:
    description = live.client.get("/openapi.json").json()
    assert set(description["components"]["securitySchemes"]) == {"HTTPBearer", "APIKeyHeader"}
    for address, method in (("/detect", "post"), ("/models", "get"), ("/metrics", "get"), ("/models/reload", "post")):
        assert description["paths"][address][method]["security"]
    assert "security" not in description["paths"]["/health/live"]["get"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("LocalHost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.4", False), ("clinic.lan", False)],
)  # fmt: skip
def test_loopback(host, expected) -> None:
    assert is_loopback(host) is expected


def serve(*arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CARIES_")}
    return subprocess.Popen(
        [sys.executable, "-m", "app", "serve", "--port", "0", *arguments],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_network_is_not_served_without_keys(tmp_path) -> None:
    server = serve("--host", "0.0.0.0", "--model-store", str(tmp_path))
    _, said = server.communicate(timeout=30)
    assert server.returncode == 2
    assert "CARIES_KEYS" in said
    Settings(host="0.0.0.0", keys=tmp_path / "keys").check_exposure()


def test_the_first_key_is_made_and_shown_once(path) -> None:
    said = ""
    server = serve("--host", "0.0.0.0", "--keys", str(path))
    try:
        while "Uvicorn running" not in said:
            line = server.stderr.readline()
            assert line, said
            said += line
    finally:
        server.terminate()
        said += server.communicate(timeout=30)[1]
    (key,) = re.findall(r"caries_[0-9a-f]{8}_[A-Za-z0-9_-]{43}", said)
    assert access.KeyRing(path).verify(key).role is Role.ADMIN
    server = serve("--keys", str(path))
    try:
        said = ""
        while "Uvicorn running" not in said:
            said += server.stderr.readline()
    finally:
        server.terminate()
        said += server.communicate(timeout=30)[1]
    assert "caries_" not in said.replace("caries_suspected", "")


def test_a_file_that_is_no_file_of_keys_keeps_the_server_from_starting(path) -> None:
    path.write_text("[]")
    server = serve("--keys", str(path))
    _, said = server.communicate(timeout=30)
    assert server.returncode == 1
    assert "is not a file of keys" in said
    assert path.read_text() == "[]"
