"""STOW-RS, health and metrics of the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.gateway.related import join_related
from app.gateway.store import Kind, Store
from app.gateway.web import Web
from app.records.key_file import KeyFile, Role
from tests.app.gateway.archives import photo


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "queue")) as made:
        yield made


@pytest.fixture
def key(tmp_path: Path) -> str:
    return KeyFile(tmp_path / "keys").add("archive", Role.DETECT)[1]


@pytest.fixture
def client(store: Store, tmp_path: Path, key: str) -> Iterator[httpx.Client]:
    web = Web(store, host="127.0.0.1", port=0, keys=KeyFile(tmp_path / "keys"), max_bytes=200_000)
    with closing(web), httpx.Client(base_url=f"http://127.0.0.1:{web.port}") as made:
        yield made


def post(client: httpx.Client, files: list[bytes], key: str = "") -> int:
    body, kind = join_related(files)
    headers = {"Content-Type": kind, **({"Authorization": f"Bearer {key}"} if key else {})}
    return client.post("/studies", content=body, headers=headers).status_code


def test_photos_are_kept(client: httpx.Client, store: Store, key: str) -> None:
    assert post(client, [photo(1), photo(2)], key) == 200
    assert [entry.path.read_bytes() for entry in store.due(Kind.PHOTO, limit=9)] == [photo(1), photo(2)]
    assert post(client, [photo(3), b"no file"], key) == 202
    assert post(client, [b"no file"], key) == 409
    assert client.post("/studies", content=b"x", headers={"X-API-Key": key}).status_code == 415


def test_a_key_is_needed(client: httpx.Client, store: Store) -> None:
    assert post(client, [photo(1)]) == 401
    assert post(client, [photo(1)], "caries_00000000_wrong") == 401
    assert store.due(Kind.PHOTO) == []
    with closing(Web(store, host="127.0.0.1", port=0, keys=None, max_bytes=200_000)) as web:
        other = httpx.Client(base_url=f"http://127.0.0.1:{web.port}")
        assert post(other, [photo(1)], "any") == 401
        other.close()


def test_bounds(client: httpx.Client, key: str) -> None:
    assert post(client, [photo(1) + bytes(200_000)], key) == 413
    assert client.post("/elsewhere", content=b"").status_code == 404


def test_health_and_metrics(client: httpx.Client, store: Store, key: str) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/other").status_code == 404
    post(client, [photo(1)], key)
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }
    assert found["caries_gateway_received_total"] == found["caries_gateway_photos_waiting"] == 1
    assert found["caries_gateway_dead"] == 0
