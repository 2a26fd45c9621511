"""The file of API keys: created, read, changed and refused."""

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.errors import KeysError
from app.records.key_file import KEY, KeyFile, Role


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a test."""
    return tmp_path / "keys.json"


def test_a_key_and_its_entry(path: Path) -> None:
    entry, key = KeyFile(path).add("front desk", Role.DETECT)
    found = KEY.fullmatch(key)
    assert found
    assert found[1] == entry.id
    assert len(bytes.fromhex(found[2])) * 8 >= 256
    assert KeyFile(path).read() == {entry.id: entry}
    assert (entry.name, entry.role) == ("front desk", Role.DETECT)
    assert timedelta() <= datetime.now(UTC) - entry.created < timedelta(minutes=1)
    assert entry.matches(found[2])
    assert not entry.matches(found[2][:-1] + ("0" if found[2][-1] != "0" else "1"))


def test_the_file_contains_hashes_and_is_private_to_its_owner(path: Path) -> None:
    path.touch(0o644)
    path.write_text('{"format_version": 1, "keys": []}', encoding="utf-8")
    keys = [KeyFile(path).add(name, Role.DETECT)[1] for name in ("one", "two")]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text(encoding="utf-8")
    for key in keys:
        assert key.rpartition("_")[2] not in text
    first, second = json.loads(text)["keys"]
    assert first["salt"] != second["salt"]
    assert list(path.parent.iterdir()) == [path], "another file was left in the folder"


def test_a_change_is_atomic(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry, _ = KeyFile(path).add("one", Role.DETECT)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dump", fail)
    with pytest.raises(KeysError, match=r"keys\.json cannot be written: No space left"):
        KeyFile(path).add("two", Role.DETECT)
    assert KeyFile(path).read() == {entry.id: entry}
    assert list(path.parent.iterdir()) == [path]


def test_a_symlink_stays_a_symlink(path: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    path.symlink_to(tmp_path / "secret" / "keys.json")
    KeyFile(path).add("one", Role.DETECT)
    assert path.is_symlink()
    assert len(KeyFile(path).read()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_leaves_the_file_to_its_owner(path: Path) -> None:
    KeyFile(path).add("one", Role.DETECT)
    os.chown(path, 10001, 10001)
    KeyFile(path).add("two", Role.DETECT)
    assert (path.stat().st_uid, path.stat().st_gid) == (10001, 10001)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.slow
def test_concurrent_changes_lose_nothing(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from app.records.key_file import KeyFile, Role\n"
        "for number in range(4): KeyFile(Path(sys.argv[1])).add(f'{sys.argv[2]} {number}', Role.DETECT)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), str(number)]) for number in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(KeyFile(path).read()) == 12


def test_first_key(path: Path) -> None:
    key = KeyFile(path).add_first()
    assert key is not None
    (entry,) = KeyFile(path).read().values()
    assert entry.role is Role.ADMIN
    assert entry.matches(key.rpartition("_")[2])
    assert KeyFile(path).add_first() is None
    assert len(KeyFile(path).read()) == 1


def test_revoke_by_id_and_by_name(path: Path) -> None:
    file = KeyFile(path)
    one, two = (file.add(name, Role.DETECT)[0] for name in ("one", "two"))
    assert file.revoke(one.id) == one
    assert file.revoke("two") == two
    assert file.read() == {}
    with pytest.raises(KeysError, match="'two'"):
        file.revoke("two")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 65, "\x1b[2J"])
def test_a_forbidden_name(path: Path, name: str) -> None:
    with pytest.raises(KeysError, match="1 to 64 printable"):
        KeyFile(path).add(name, Role.DETECT)
    assert not path.exists()


def test_a_name_in_use(path: Path) -> None:
    KeyFile(path).add("front desk", Role.DETECT)
    with pytest.raises(KeysError, match="'front desk'"):
        KeyFile(path).add("front desk", Role.ADMIN)


def write(path: Path, **changes: Any) -> None:
    """A file with one key, some of whose fields are changed; None leaves the field out."""
    KeyFile(path).add("one", Role.DETECT)
    content = json.loads(path.read_text(encoding="utf-8"))
    entry = {**content["keys"][0], **changes}
    content["keys"] = [{name: value for name, value in entry.items() if value is not None}]
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "../etc"},
        {"id": 12345678},
        {"name": "a\nb"},
        {"name": None},
        {"role": "owner"},
        {"created": "yesterday"},
        {"created": "2026-01-31T09:00:00"},
        {"salt": "xyz"},
        {"hash": None},
    ],
    ids=str,
)
def test_a_wrong_entry(path: Path, changes: dict[str, Any]) -> None:
    write(path, **changes)
    with pytest.raises(KeysError, match=r"keys\.json is not a file of API keys"):
        KeyFile(path).read()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"format_version": 1}', "\xff"])
def test_a_file_of_another_kind(path: Path, text: str) -> None:
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(KeysError, match=r"keys\.json is not a file of API keys"):
        KeyFile(path).read()
    with pytest.raises(KeysError):
        KeyFile(path).add("two", Role.DETECT)
    assert path.read_bytes() == text.encode("latin-1"), "an unknown file was overwritten"


def test_other_format_version(path: Path) -> None:
    path.write_text('{"format_version": 2, "keys": []}', encoding="utf-8")
    with pytest.raises(KeysError, match="format version 2, this program reads 1"):
        KeyFile(path).read()


@pytest.mark.parametrize("field", ["id", "name"])
def test_two_keys_of_one_id_or_name(path: Path, field: str) -> None:
    for name in ("one", "two"):
        KeyFile(path).add(name, Role.DETECT)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["keys"][1][field] = content["keys"][0][field]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(KeysError, match="twice"):
        KeyFile(path).read()


def test_a_missing_folder(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "nothing" / "keys.json")
    with pytest.raises(KeysError, match="cannot be read: No such file"):
        file.read()
    with pytest.raises(KeysError, match="cannot be written: No such file"):
        file.add("one", Role.DETECT)


def test_each_role_includes_those_before_it() -> None:
    included = {role: [other for other in Role if role.includes(other)] for role in Role}
    assert included == {
        Role.DETECT: [Role.DETECT],
        Role.REVIEW: [Role.DETECT, Role.REVIEW],
        Role.ADMIN: [Role.DETECT, Role.REVIEW, Role.ADMIN],
    }


def test_servers_that_start_together_create_one_first_key(path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        created = list(threads.map(lambda _: KeyFile(path).add_first(), range(8)))
    assert len([key for key in created if key]) == 1
    assert len(KeyFile(path).read()) == 1
