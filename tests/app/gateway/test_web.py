"""STOW-RS, health and metrics of the gateway."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.cli import main
from app.dicom.related import join_related
from app.gateway import web as module
from app.gateway.queue import DicomObject, Kind, Queue
from app.gateway.web import Web, WrongKeys
from app.records.key_file import KeyFile, Role
from tests.app.api.live_server import wait_for
from tests.app.gateway.archives import Clock, grey_scan, photo
from tests.app.photo import dicom_files


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Queue]:
    with closing(Queue(tmp_path / "queue")) as made:
        yield made


@pytest.fixture
def key(tmp_path: Path) -> str:
    return KeyFile(tmp_path / "keys").add("archive", Role.DETECT)[1]


@pytest.fixture
def client(store: Queue, tmp_path: Path, key: str) -> Iterator[httpx.Client]:
    web = Web(
        store, host="127.0.0.1", port=0, keys=KeyFile(tmp_path / "keys"), max_bytes=400_000, max_photo_bytes=100_000
    )
    with closing(web), httpx.Client(base_url=f"http://127.0.0.1:{web.port}") as made:
        yield made


def post(client: httpx.Client, files: list[bytes], key: str = "") -> int:
    return posted(client, files, key).status_code


def posted(client: httpx.Client, files: list[bytes], key: str = "") -> httpx.Response:
    body, kind = join_related(files)
    headers = {"Content-Type": kind, **({"Authorization": f"Bearer {key}"} if key else {})}
    return client.post("/studies", content=body, headers=headers)


def test_photos_are_kept(client: httpx.Client, store: Queue, key: str) -> None:
    assert post(client, [photo(1), photo(2)], key) == 200
    assert [entry.path.read_bytes() for entry in store.due(Kind.PHOTO, limit=9)] == [photo(1), photo(2)]
    assert post(client, [photo(3), b"no file"], key) == 202
    assert post(client, [b"no file"], key) == 409
    assert client.post("/studies", content=b"x", headers={"X-API-Key": key}).status_code == 415


def test_a_key_is_needed(client: httpx.Client, store: Queue) -> None:
    assert post(client, [photo(1)]) == 401
    assert post(client, [photo(1)], "caries_00000000_wrong") == 401
    assert store.due(Kind.PHOTO) == []
    with closing(Web(store, host="127.0.0.1", port=0, keys=None, max_bytes=400_000, max_photo_bytes=100_000)) as web:
        other = httpx.Client(base_url=f"http://127.0.0.1:{web.port}")
        assert post(other, [photo(1)], "any") == 401
        other.close()


def test_bounds(client: httpx.Client, key: str) -> None:
    assert post(client, [photo(1) + bytes(400_000)], key) == 413
    assert client.post("/elsewhere", content=b"").status_code == 404


def test_health_and_metrics(client: httpx.Client, store: Queue, key: str) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/health/ready").json() == {"status": "ready"}
    assert main(["health", "--port", str(client.base_url.port)]) == 0
    assert client.get("/other").status_code == 404
    post(client, [photo(1)], key)
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }
    assert found["caries_gateway_received_total"] == found["caries_gateway_photos_waiting"] == 1
    assert found["caries_gateway_dead_letters"] == 0
    store.answer(store.due(Kind.PHOTO)[0], "model/1", [DicomObject("2.25.1", b"report")], ["A"])
    store.delivered(store.due(Kind.OBJECT, "A"))
    text = client.get("/metrics").text.splitlines()
    assert {"caries_gateway_screened_total 1", "caries_gateway_delivered_total 1"} <= {*text}
    assert "caries_gateway_oldest_age_seconds 0" in text


def test_why_the_gateway_is_not_ready(store: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    problems = ["the disk is almost full", ""]
    with closing(
        Web(store, host="127.0.0.1", port=0, keys=None, max_bytes=1, max_photo_bytes=1, problem=lambda: problems[0])
    ) as web:
        assert main(["health", "--port", str(web.port)]) == 1
        assert json.loads(capsys.readouterr().out) == {"status": "not ready", "reason": "the disk is almost full"}
        assert httpx.get(f"http://127.0.0.1:{web.port}/health/ready").status_code == 503
        assert httpx.get(f"http://127.0.0.1:{web.port}/health/live").status_code == 200
        problems.pop(0)
        assert main(["health", "--port", str(web.port)]) == 0


def uids(answer: httpx.Response, name: str) -> list[tuple[str, int]]:
    """SOP Instance UIDs and reasons in a sequence of the answer."""
    items = answer.json().get(name, {}).get("Value", [])
    return [
        (item.get("00081155", {}).get("Value", [""])[0], item.get("00081197", {}).get("Value", [0])[0])
        for item in items
    ]


def test_the_answer_names_every_photo(client: httpx.Client, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    radiograph = dicom_files.native(SOPInstanceUID="1.2.9", SOPClassUID="1.2.840.10008.5.1.4.1.1.1.3")
    large = photo(4) + bytes(100_000)
    answer = posted(client, [photo(1), radiograph, grey_scan(6), large, b"no file", photo(2)], key)
    assert answer.status_code == 202
    assert uids(answer, "00081199") == [("1.2.3.1", 0), ("1.2.3.2", 0)]
    assert uids(answer, "00081198") == [
        ("1.2.9", 0x0122),
        ("1.2.3.6", 0x0122),
        ("1.2.3.4", 0xA700),
        ("", 0xC000),
    ]
    monkeypatch.setattr(Queue, "accept", full)
    assert post(client, [photo(5)], key) == 503


def full(*_: object) -> bool:
    raise OSError("full")


def test_wrong_keys_are_limited(client: httpx.Client, key: str) -> None:
    wrong = key[:-1] + ("0" if key[-1] != "0" else "1")
    statuses = [post(client, [photo(1)], wrong) for _ in range(41)]  # a new minute may begin once
    assert statuses[:20] == [401] * 20
    assert 429 in statuses
    assert statuses[-1] == 401 or post(client, [photo(1)], key) == 429
    limit = WrongKeys(clock := Clock())
    assert not limit.too_many("a")
    for _ in range(20):
        limit.add("a")
    assert limit.too_many("a")
    assert not limit.too_many("b")
    clock.now += 60
    assert not limit.too_many("a")


def test_a_damaged_file_of_keys(client: httpx.Client, key: str, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    (tmp_path / "keys").write_text("damaged")
    assert post(client, [photo(1)], key) == 503
    assert "Traceback" not in capfd.readouterr().err


def test_connections_are_bounded(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(module, "MAX_CONNECTION_S", 1.0)
    held = [socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10) for _ in range(2)]
    held[0].sendall(b"POST /studies HTTP/1.1\r\nContent-Length: 9")
    with pytest.raises(httpx.TransportError):
        client.get("/health/live")
    for one in held:
        assert one.recv(1) == b"", "after a second, although bytes arrive"
        one.close()

    def is_served() -> bool:
        try:
            return client.get("/health/live").status_code == 200
        except httpx.TransportError:  # the server has not yet noticed that both have ended
            return False

    wait_for(is_served)


def test_a_body_that_was_cut_off_is_not_answered(client: httpx.Client, store: Queue, key: str) -> None:
    body, kind = join_related([photo(1)])
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10) as connection:
        head = (
            f"POST /studies HTTP/1.1\r\nX-API-Key: {key}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body[:-100])
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert store.due(Kind.PHOTO) == []
