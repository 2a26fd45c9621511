"""Sessions: after a sign-in with an API key, a random token stands for the key until it expires or is signed out.

Only the SHA-256 of a token is stored. A session ends with its key: a revoked key has none.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from app.records.key_file import Key
from app.records.keys_in_force import KeysInForce

TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
"""256 random bits in base64url."""

MAX_SESSIONS = 100
"""Sessions of one key; a further sign-in ends its oldest."""

MAX_REMEMBERED = 10_000
"""Tokens whose sessions were found; the one not used for longest is forgotten."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session as it is stored; times are UTC."""

    key_id: str
    created_at: datetime
    expires_at: datetime


class SignedIn(NamedTuple):
    """A session in force and its key."""

    key: Key
    session: Session


class SessionStore(Protocol):
    """Where sessions are, by the digests of their tokens. Thread-safe; may wait for a disk."""

    def add(self, digest: str, session: Session) -> None:
        """Add a session; forget expired ones and those of the same key beyond `MAX_SESSIONS`."""

    def find(self, digest: str) -> Session | None:
        """The session, expired or not."""

    def remove(self, digest: str) -> None:
        """Remove the session, if there is one."""

    def remove_all(self, key_id: str) -> int:
        """Remove the sessions of a key and return their number."""


class MemorySessions:
    """Sessions of this process; they end with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def add(self, digest: str, session: Session) -> None:
        """See `SessionStore`."""
        with self._lock:
            live = {key: other for key, other in self._sessions.items() if other.expires_at > session.created_at}
            same = [key for key, other in live.items() if other.key_id == session.key_id]  # the oldest first
            for key in same[: max(0, len(same) + 1 - MAX_SESSIONS)]:
                del live[key]
            self._sessions = {**live, digest: session}

    def find(self, digest: str) -> Session | None:
        """See `SessionStore`."""
        return self._sessions.get(digest)

    def remove(self, digest: str) -> None:
        """See `SessionStore`."""
        with self._lock:
            self._sessions.pop(digest, None)

    def remove_all(self, key_id: str) -> int:
        """See `SessionStore`."""
        with self._lock:
            kept = {key: session for key, session in self._sessions.items() if session.key_id != key_id}
            removed, self._sessions = len(self._sessions) - len(kept), kept
        return removed


class Sessions:
    """The sessions in force. Belongs to one event loop."""

    def __init__(self, keys: KeysInForce, store: SessionStore, lifetime_s: float) -> None:
        """Keep sessions in `store`; a session ends `lifetime_s` seconds after its sign-in."""
        self._keys = keys
        self._store = store
        self._lifetime = timedelta(seconds=lifetime_s)
        self._found: dict[str, None] = {}

    def remembers(self, token: str) -> bool:
        """Whether the token was of a session in force when it was last looked for."""
        return _digest(token) in self._found

    async def start(self, key: Key) -> tuple[str, Session]:
        """Start a session of a verified key; its token and what is stored of it."""
        token, now = secrets.token_urlsafe(32), datetime.now(UTC)
        session = Session(key.id, now, now + self._lifetime)
        await asyncio.to_thread(self._store.add, _digest(token), session)
        return token, session

    async def find(self, token: str) -> SignedIn | None:
        """The session of a token and its key, if both are in force."""
        if not TOKEN.fullmatch(token):
            return None
        digest = _digest(token)
        session = await asyncio.to_thread(self._store.find, digest)
        self._found.pop(digest, None)
        if session is None or session.expires_at <= datetime.now(UTC):
            return None
        key = self._keys.find(session.key_id)
        if key is None:
            return None
        self._found[digest] = None
        if len(self._found) > MAX_REMEMBERED:
            del self._found[next(iter(self._found))]
        return SignedIn(key, session)

    async def end(self, token: str) -> None:
        """End the session of a token, if there is one."""
        await asyncio.to_thread(self._store.remove, _digest(token))

    async def end_all(self, key_id: str) -> int:
        """End all sessions of a key and return their number."""
        return await asyncio.to_thread(self._store.remove_all, key_id)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
