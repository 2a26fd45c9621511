"""API keys: who may ask the server for something. Knows no HTTP.

A key is `caries_ID_SECRET`: eight hexadecimal digits that are no secret, and 256 random bits. The file of keys holds
scrypt hashes alone (RFC 7914), so that reading it opens nothing. It is written whole or not at all, for its owner only,
and read again as soon as it changes: a key that is revoked stops working with the next request.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from app.errors import AccessError

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
PATTERN = re.compile(r"caries_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}")

# About 50 ms and 16 MB for each key, once: what was verified is remembered.
SCRYPT = {"n": 2**14, "r": 8, "p": 1, "maxmem": 64 * 2**20, "dklen": 32}


class Role(StrEnum):
    """What a key opens: `detect` the screening of photos and what belongs to it, `admin` everything."""

    DETECT = "detect"
    ADMIN = "admin"

    def allows(self, needed: Role) -> bool:
        """Whether a key of this role may do what needs the other."""
        return self is Role.ADMIN or self is needed


@dataclass(frozen=True, slots=True)
class Key:
    """A key as the file holds it.

    Attributes:
        id: the part of the key that is no secret.
        name: whose it is, for people and for the audit log.
        role: what it opens.
        created: UTC, ISO 8601.
        salt, hash: hexadecimal; the scrypt hash of the secret.
    """

    id: str
    name: str
    role: Role
    created: str
    salt: str
    hash: str

    def fits(self, secret: str) -> bool:
        """Whether this is the key's secret; takes as long whether it is or not."""
        return hmac.compare_digest(bytes.fromhex(self.hash), _hash(secret, bytes.fromhex(self.salt)))


def read_keys(path: Path) -> dict[str, Key]:
    """The keys of a file by id.

    Raises:
        AccessError: it cannot be read, or is not a file of keys.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AccessError(f"the keys in {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise AccessError(f"{path} is not a file of keys: {error}") from error
    try:
        if content["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format version {content['format_version']!r}, this program reads {FORMAT_VERSION}")
        keys = [Key(**{**entry, "role": Role(entry["role"])}) for entry in content["keys"]]
        for key in keys:
            if not (len(bytes.fromhex(key.hash)) == SCRYPT["dklen"] and bytes.fromhex(key.salt)):
                raise ValueError(f"the hash of key {key.id} is incomplete")
    except (KeyError, TypeError, ValueError) as error:
        raise AccessError(f"{path} is not a file of keys: {error}") from error
    return {key.id: key for key in keys}


def add_key(path: Path, name: str, role: Role) -> str:
    """Adds a key to a file, which is made if it is missing, and returns the key, which is kept nowhere.

    Raises:
        AccessError: the name is taken or not allowed, or the file cannot be used.
    """
    if not NAME.fullmatch(name):
        raise AccessError(f"the name is {name!r}; allowed are 1 to 64 letters, digits, spaces and . _ -")
    with _alone(path):
        keys = read_keys(path) if path.exists() else {}
        if any(key.name == name for key in keys.values()):
            raise AccessError(f"there is a key named {name!r} already; revoke it first or take another name")
        key_id, secret, salt = secrets.token_hex(4), secrets.token_urlsafe(32), secrets.token_bytes(16)
        created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        keys[key_id] = Key(key_id, name, role, created, salt.hex(), _hash(secret, salt).hex())
        _write(path, keys)
    return f"caries_{key_id}_{secret}"


def revoke_key(path: Path, name_or_id: str) -> Key:
    """Removes a key from a file and returns what was removed.

    Raises:
        AccessError: there is no such key, or the file cannot be used.
    """
    with _alone(path):
        keys = read_keys(path)
        found = [key for key in keys.values() if name_or_id in (key.name, key.id)]
        if not found:
            names = ", ".join(sorted(key.name for key in keys.values())) or "none"
            raise AccessError(f"there is no key {name_or_id!r}; there are: {names}")
        del keys[found[0].id]
        _write(path, keys)
    return found[0]


class KeyRing:
    """The keys in force, as the file says at every look. Safe to call from any thread."""

    def __init__(self, path: Path) -> None:
        """Reads the file.

        Raises:
            AccessError: it cannot be used.
        """
        self._path = path
        self._lock = threading.Lock()
        # Keys are remembered as a digest that means nothing outside this process.
        self._pepper = secrets.token_bytes(32)
        self._verified: dict[bytes, Key] = {}
        self._stamp = _stamp(path)
        self._keys = read_keys(path)

    def known(self, presented: str) -> Key | None:
        """The key, if it was verified before and is still in force: costs microseconds."""
        self._look()
        return self._verified.get(self._digest(presented))

    def verify(self, presented: str) -> Key | None:
        """The key, if it is one: costs a hash, unless no key has its id."""
        self._look()
        match = PATTERN.fullmatch(presented)
        key = self._keys.get(match[1]) if match else None
        if match is None or key is None or not key.fits(match[2]):
            return None
        with self._lock:
            if self._keys.get(key.id) is key:
                self._verified[self._digest(presented)] = key
        return key

    def _digest(self, presented: str) -> bytes:
        return hmac.digest(self._pepper, presented.encode("utf-8", "surrogateescape"), "sha256")

    def _look(self) -> None:
        """Reads the file again if it has changed; keeps the keys in force where it cannot be used."""
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        with self._lock:
            if stamp == self._stamp:
                return
            self._stamp = stamp
            try:
                self._keys = read_keys(self._path)
            except AccessError as error:
                logger.error("%s; the keys read before stay in force", error)
                return
            self._verified.clear()
        logger.info("the keys were read again: %d in force", len(self._keys))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _hash(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, **SCRYPT)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keeps two programs from changing a file of keys at once."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise AccessError(f"the folder of {path} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write(path: Path, keys: dict[str, Key]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    content = {"format_version": FORMAT_VERSION, "keys": [asdict(key) for key in keys.values()]}
    try:
        with open(partial, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(json.dumps(content, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise AccessError(f"{path} cannot be written: {error.strerror}") from error
