"""Keys in force: which are accepted, the cost of a check, and changes of the file."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.errors import Overloaded
from app.records import key_file
from app.records.key_file import KeyFile, Role
from app.records.keys_in_force import MAX_WAITING, KeysInForce


class Checks:
    """Counts the costly checks, and blocks them while `gate` is not set."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.count = self.running = self.max_concurrent = 0


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Checks]:
    """The costly checks of this test."""
    made, plain = Checks(), key_file.Key.matches

    def matches(key: key_file.Key, secret: str) -> bool:
        made.count += 1
        made.running += 1
        made.max_concurrent = max(made.max_concurrent, made.running)
        assert made.gate.wait(10)
        try:
            return plain(key, secret)
        finally:
            made.running -= 1

    monkeypatch.setattr(key_file.Key, "matches", matches)
    yield made
    made.gate.set()


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    """The file of keys of this test."""
    return KeyFile(tmp_path / "keys.json")


def altered(key: str) -> str:
    """The key with another last digit."""
    return key[:-1] + ("0" if key[-1] != "0" else "1")


def test_the_check_is_paid_once(file: KeyFile, checks: Checks) -> None:
    entry, key = file.add("one", Role.DETECT)
    keys = KeysInForce(file)
    assert keys.remembered(key) is None
    for _ in range(3):
        assert asyncio.run(keys.verify(key)) == entry
    assert keys.remembered(key) == entry
    assert checks.count == 1


def test_what_is_remembered_is_not_the_key(file: KeyFile) -> None:
    _, key = file.add("one", Role.DETECT)
    keys = KeysInForce(file)
    asyncio.run(keys.verify(key))
    assert key.rpartition("_")[2] not in repr(vars(keys))


def test_wrong_keys(file: KeyFile, checks: Checks) -> None:
    entry, key = file.add("one", Role.DETECT)
    keys = KeysInForce(file)
    asyncio.run(keys.verify(key))
    for wrong in ("", "x", key[:-1], f"{key}0", key.upper(), f" {key}", "caries_00000000_" + 64 * "0", "열쇠"):
        assert asyncio.run(keys.verify(wrong)) is None
        assert keys.claimed(wrong) is None
    assert checks.count == 1, "scrypt was computed for a key of an unknown id"
    assert asyncio.run(keys.verify(altered(key))) is None
    assert keys.remembered(altered(key)) is None
    assert keys.claimed(altered(key)) == entry
    assert checks.count == 2
    assert keys.remembered(key) == entry


def test_a_revoked_key_is_refused_and_a_new_one_accepted_immediately(file: KeyFile) -> None:
    one, two = (file.add(name, Role.DETECT)[1] for name in ("one", "two"))
    keys = KeysInForce(file)
    for key in (one, two):
        assert asyncio.run(keys.verify(key))
    file.revoke("one")
    assert keys.remembered(one) is None
    assert asyncio.run(keys.verify(one)) is None
    assert asyncio.run(keys.verify(two))
    three = file.add("three", Role.ADMIN)[1]
    assert asyncio.run(keys.verify(three))


def test_a_remembered_key_is_checked_again_when_the_file_changed(file: KeyFile, tmp_path: Path) -> None:
    entry, key = file.add("one", Role.DETECT)
    other, _ = file.add("two", Role.DETECT)
    keys, path = KeysInForce(file), tmp_path / "keys.json"
    assert asyncio.run(keys.verify(key))
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(entry.hash.hex(), other.hash.hex()), encoding="utf-8")
    assert asyncio.run(keys.verify(key)) is None


def test_a_key_that_is_revoked_while_it_is_checked(file: KeyFile, checks: Checks) -> None:
    _, key = file.add("one", Role.DETECT)
    keys = KeysInForce(file)

    async def revoke_meanwhile() -> None:
        checks.gate.clear()
        verifying = asyncio.create_task(keys.verify(key))
        while not checks.running:
            await asyncio.sleep(0.01)
        file.revoke("one")
        checks.gate.set()
        assert await verifying is None

    asyncio.run(revoke_meanwhile())


@pytest.mark.parametrize("harm", ["broken", "gone"])
def test_a_broken_file_keeps_the_keys_in_force(
    file: KeyFile, tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    path = tmp_path / "keys.json"
    entry, key = file.add("one", Role.DETECT)
    keys, good = KeysInForce(file), path.read_bytes()
    if harm == "broken":
        path.write_text("{", encoding="utf-8")
    else:
        path.unlink()
    for _ in range(3):
        assert asyncio.run(keys.verify(key)) == entry
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert str(path) in record.getMessage()
    path.write_bytes(good)
    file.revoke("one")
    assert asyncio.run(keys.verify(key)) is None


def test_a_flood_is_checked_one_at_a_time_and_refused_beyond_a_few(file: KeyFile, checks: Checks) -> None:
    _, key = file.add("one", Role.DETECT)
    keys = KeysInForce(file)

    async def flood() -> list[object]:
        checks.gate.clear()
        wrong = [f"{key[:-2]}{number:02x}" for number in range(21) if not key.endswith(f"{number:02x}")][:20]
        tasks = [asyncio.create_task(keys.verify(text)) for text in wrong]
        while sum(task.done() for task in tasks) < 20 - MAX_WAITING - 1:
            await asyncio.sleep(0.01)
        checks.gate.set()
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    results = asyncio.run(flood())
    assert sum(result is None for result in results) == MAX_WAITING + 1
    assert sum(isinstance(result, Overloaded) for result in results) == 20 - MAX_WAITING - 1
    assert checks.max_concurrent == 1
    assert asyncio.run(keys.verify(key)), "the flood left no room"


def test_concurrent_requests_share_one_check(file: KeyFile, checks: Checks) -> None:
    entry, key = file.add("one", Role.DETECT)
    keys = KeysInForce(file)

    async def together() -> list[object]:
        return list(await asyncio.gather(*(keys.verify(key) for _ in range(50))))

    assert asyncio.run(together()) == 50 * [entry]
    assert checks.count == 1
