"""The API keys in force, and the check whether a text is one of them."""

import asyncio
import hmac
import logging
import secrets

from app.errors import KeysError, Overloaded
from app.records.key_file import KEY, Key, KeyFile

logger = logging.getLogger(__name__)

MAX_WAITING = 8
"""Different keys that may wait to be checked. They are checked one by one: a flood of wrong keys takes one core."""


class KeysInForce:
    """The keys of a file, read again when it changes. Belongs to one event loop.

    A verified key is remembered until the file changes, so that it costs scrypt once: not the key itself, but its HMAC
    with a secret of this process.

    Raises:
        KeysError: the file cannot be read, or is not a file of keys.
    """

    def __init__(self, file: KeyFile) -> None:
        self._file = file
        self._signature = file.signature()
        self._keys = file.read()
        self._secret = secrets.token_bytes(32)
        self._remembered: dict[str, bytes] = {}
        self._one_by_one = asyncio.Semaphore(1)
        self._checks: dict[bytes, asyncio.Task[Key | None]] = {}

    def find(self, key_id: str) -> Key | None:
        """The key in force of this id."""
        self._read_if_changed()
        return self._keys.get(key_id)

    def claimed(self, text: str) -> Key | None:
        """The key in force that a text claims to be, by its id only."""
        found = KEY.fullmatch(text)
        return self.find(found[1]) if found else None

    def remembered(self, text: str) -> Key | None:
        """The key in force that a text is, if it was verified before."""
        key = self.claimed(text)
        if key is None or key.id not in self._remembered:
            return None
        return key if hmac.compare_digest(self._remembered[key.id], self._digest(text)) else None

    async def verify(self, text: str) -> Key | None:
        """The valid key that this text is, or None, whether or not its id is known.

        Raises:
            Overloaded: too many keys wait to be checked.
        """
        claimed = self.claimed(text)
        if claimed is None:
            return None
        if (key := self.remembered(text)) is not None:
            return key
        digest = self._digest(text)
        # Concurrent requests with the same key share one check.
        if digest not in self._checks:
            if len(self._checks) > MAX_WAITING:
                raise Overloaded("many API keys are being checked; try again shortly")
            self._checks[digest] = asyncio.create_task(self._check(claimed, text, digest))
        return await asyncio.shield(self._checks[digest])

    async def _check(self, claimed: Key, text: str, digest: bytes) -> Key | None:
        try:
            async with self._one_by_one:
                matches = await asyncio.to_thread(claimed.matches, text.rpartition("_")[2])
        finally:
            del self._checks[digest]
        # The key may have been revoked while it was checked.
        if not matches or self.claimed(text) != claimed:
            return None
        self._remembered[claimed.id] = digest
        return claimed

    def _digest(self, text: str) -> bytes:
        return hmac.digest(self._secret, text.encode(), "sha256")

    def _read_if_changed(self) -> None:
        signature = self._file.signature()
        if signature == self._signature:
            return
        # Set before reading, so that a broken file is logged once, and a file that changes meanwhile is read again.
        self._signature = signature
        try:
            self._keys = self._file.read()
        except KeysError as error:
            logger.error("the API keys in force are unchanged: %s", error)
            return
        self._remembered.clear()
        logger.info("%d API keys are in force", len(self._keys))
