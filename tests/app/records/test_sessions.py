"""Sessions of API keys: found by their token alone, ended by time, sign-out or the end of the key."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.records.key_file import Key, KeyFile, Role
from app.records.keys_in_force import KeysInForce
from app.records.sessions import MAX_SESSIONS, MemorySessions, Session, Sessions, SessionStore

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def key(file: KeyFile) -> Key:
    return file.add("room 1", Role.REVIEW)[0]


def session(minute: int, key_id: str = "00000001") -> Session:
    """A session that starts at a minute and lasts an hour."""
    start = NOW + timedelta(minutes=minute)
    return Session(key_id, start, start + timedelta(hours=1))


def test_a_token_finds_its_session_and_key(file: KeyFile, key: Key) -> None:
    store = MemorySessions()

    async def run() -> None:
        sessions = Sessions(KeysInForce(file), store, 60)
        token, started = await sessions.start(key)
        other, _ = await sessions.start(key)
        assert token != other
        assert await sessions.find(token) == (key, started)
        assert started.expires_at - started.created_at == timedelta(seconds=60)
        for wrong in ("", "x", token[:-1], token + "A", token.swapcase()):
            assert await sessions.find(wrong) is None
        assert store.find(token) is None, "tokens are not stored"
        await sessions.end(token)
        assert await sessions.find(token) is None
        assert await sessions.find(other) is not None
        assert await sessions.end_all(key.id) == 1
        assert await sessions.find(other) is None

    asyncio.run(run())


def test_a_session_expires_and_ends_with_its_key(file: KeyFile, key: Key) -> None:
    async def run() -> None:
        keys = KeysInForce(file)
        expired, _ = await Sessions(keys, store, -1).start(key)
        sessions = Sessions(keys, store, 60)
        token, _ = await sessions.start(key)
        assert await sessions.find(expired) is None
        assert await sessions.find(token) is not None
        file.revoke("room 1")
        assert await sessions.find(token) is None

    store = MemorySessions()
    asyncio.run(run())


def check_store(store: SessionStore) -> None:
    """What every store does."""
    store.add("a", session(0))
    store.add("b", session(1, "00000002"))
    assert store.find("a") == session(0)
    assert store.find("c") is None
    store.remove("a")
    store.remove("a")
    assert store.find("a") is None
    store.add("late", session(61, "00000003"))
    assert store.find("b") is None, "expired sessions are forgotten"
    for number in range(MAX_SESSIONS + 2):
        store.add(f"d{number}", session(62 + number % 7))
    store.add("last", session(70))
    found = [number for number in range(MAX_SESSIONS + 2) if store.find(f"d{number}")]
    assert len(found) == MAX_SESSIONS - 1
    assert store.find("last")
    assert store.find("late"), "another key's session stays"
    assert store.remove_all("00000001") == MAX_SESSIONS
    assert store.remove_all("00000001") == 0
    assert store.find("late")


def test_sessions_in_memory() -> None:
    check_store(MemorySessions())
