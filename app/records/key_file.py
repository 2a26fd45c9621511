"""The file of API keys, as salted hashes. `caries keys` writes it, the server reads it.

    {"format_version": 1,
     "keys": [{"id": "8 hex", "name": "...", "role": "detect", "created": "2026-01-31T09:00:00+00:00",
               "salt": "32 hex", "hash": "64 hex"}]}

A key is `caries_<id>_<secret>`. The id is public and finds the entry. The secret is shown once and never stored.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from app.errors import KeysError

FORMAT_VERSION = 1
"""Covers the parameters of scrypt as well: changing them takes another format version."""

KEY = re.compile(r"caries_([0-9a-f]{8})_([0-9a-f]{64})")
"""A key; its groups are the id and the secret of 256 random bits."""

SCRYPT_COST = 2**14
"""With r=8 and p=1, 16 MiB and about 50 ms: enough for secrets of 256 random bits, bearable for each check."""

MAX_NAME_LENGTH = 64
"""Characters of a key's name, which is logged."""


class Role(StrEnum):
    """What a key may do."""

    DETECT = "detect"
    REVIEW = "review"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Whether this role may do what `other` may; each may do what those before it may."""
        roles = list(Role)
        return roles.index(self) >= roles.index(other)


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of the file.

    Attributes:
        id: 8 hexadecimal digits.
        name: of the program or place that uses the key; unique in the file.
        created: UTC.
        salt: 16 random bytes.
        hash: 32 bytes, scrypt of the secret.
    """

    id: str
    name: str
    role: Role
    created: datetime
    salt: bytes
    hash: bytes

    def matches(self, secret: str) -> bool:
        """Whether this is the key's secret. Deliberately slow, see `SCRYPT_COST`."""
        return hmac.compare_digest(_hash(secret, self.salt), self.hash)


class KeyFile:
    """The keys in one file. Changes are serialized across processes and atomic for readers."""

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()

    def signature(self) -> tuple[int, int, int] | None:
        """Changes whenever the file does; None if there is no file."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def read(self) -> dict[str, Key]:
        """The keys by id.

        Raises:
            KeysError: the file cannot be read, or is not a file of keys.
        """
        try:
            content = json.loads(self._path.read_bytes())
            if (found := content["format_version"]) != FORMAT_VERSION:
                raise KeysError(f"{self._path} has format version {found!r}, this program reads {FORMAT_VERSION}")
            keys = [_key(entry) for entry in content["keys"]]
        except OSError as error:
            raise KeysError(f"{self._path} cannot be read: {error.strerror}") from error
        except (ValueError, LookupError, TypeError) as error:
            raise KeysError(f"{self._path} is not a file of API keys; restore it or start a new one") from error
        if len({key.id for key in keys}) < len(keys) or len({key.name for key in keys}) < len(keys):
            raise KeysError(f"{self._path} contains an id or a name twice")
        return {key.id: key for key in keys}

    def add(self, name: str, role: Role) -> tuple[Key, str]:
        """Add a key; create the file if there is none.

        Returns:
            The entry, and the key itself, which cannot be shown again.

        Raises:
            KeysError: the name is not allowed or taken, or the file cannot be read or written.
        """
        if not name.strip() or not name.isprintable() or len(name) > MAX_NAME_LENGTH:
            raise KeysError(f"the name is {name!r}; it must be 1 to {MAX_NAME_LENGTH} printable characters")
        with self._changing() as keys:
            if name in {key.name for key in keys.values()}:
                raise KeysError(f"there is a key named {name!r}; choose another name, or revoke that key first")
            return _add(keys, name, role)

    def add_first(self) -> str | None:
        """Create the file with one admin key, and return the key, see `add`; None if there is a file."""
        if self.signature() is not None:
            return None
        with self._changing() as keys:
            # Another server may have created the file meanwhile.
            return None if keys else _add(keys, "admin", Role.ADMIN)[1]

    def revoke(self, id_or_name: str) -> Key:
        """Remove a key and return its entry.

        Raises:
            KeysError: there is no such key, or the file cannot be read or written.
        """
        with self._changing() as keys:
            named = {key.name: key for key in keys.values()}
            key = keys.get(id_or_name) or named.get(id_or_name)
            if key is None:
                raise KeysError(f"no key has the id or name {id_or_name!r}; see caries keys list")
            del keys[key.id]
        return key

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Key]]:
        """The keys by id, to be changed; written when the block succeeds."""
        try:
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX)
                keys = {} if self.signature() is None else self.read()
                yield keys
                self._write(keys)
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise KeysError(f"{self._path} cannot be written: {error.strerror}") from error

    def _write(self, keys: dict[str, Key]) -> None:
        entries = [
            {
                "id": key.id,
                "name": key.name,
                "role": key.role.value,
                "created": key.created.isoformat(),
                "salt": key.salt.hex(),
                "hash": key.hash.hex(),
            }
            for key in keys.values()
        ]
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")  # mode 0600
        written = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                # The file stays the server's when root adds a key.
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    owner = self._path.stat()
                    os.fchown(descriptor, owner.st_uid, owner.st_gid)
                json.dump({"format_version": FORMAT_VERSION, "keys": entries}, stream, indent=2, ensure_ascii=False)
                stream.write("\n")
                stream.flush()
                os.fsync(descriptor)
            written.replace(self._path)
        finally:
            written.unlink(missing_ok=True)


def _add(keys: dict[str, Key], name: str, role: Role) -> tuple[Key, str]:
    """Add a key to `keys`; the entry and the key itself."""
    identifier = secrets.token_hex(4)
    while identifier in keys:
        identifier = secrets.token_hex(4)
    secret, salt = secrets.token_hex(32), secrets.token_bytes(16)
    created = datetime.now(UTC).replace(microsecond=0)
    key = keys[identifier] = Key(identifier, name, role, created, salt, _hash(secret, salt))
    return key, f"caries_{identifier}_{secret}"


def _key(entry: dict[str, Any]) -> Key:
    created = datetime.fromisoformat(entry["created"])
    key = Key(
        id=entry["id"],
        name=entry["name"],
        role=Role(entry["role"]),
        created=created,
        salt=bytes.fromhex(entry["salt"]),
        hash=bytes.fromhex(entry["hash"]),
    )
    if not re.fullmatch("[0-9a-f]{8}", key.id) or not key.name.isprintable() or created.tzinfo is None:
        raise ValueError(key.id)
    return key


def _hash(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, n=SCRYPT_COST, r=8, p=1, dklen=32)
