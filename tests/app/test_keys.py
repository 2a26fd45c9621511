import json
import os
import threading

import pytest

from app.cli import main
from app.errors import AccessError
from app.keys import KeyRing, Role, add_key, read_keys, revoke_key


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "keys.json"


def test_a_key_is_found_by_its_secret_and_kept_nowhere(path) -> None:
    key = add_key(path, "Dr. Kim", Role.DETECT)
    ring = KeyRing(path)
    assert ring.known(key) is None
    found = ring.verify(key)
    assert found is not None
    assert (found.name, found.role) == ("Dr. Kim", Role.DETECT)
    assert ring.known(key) is found
    secret = key.split("_", 2)[2]
    assert len(secret) == 43
    assert secret not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "change", [lambda key: key[:-1], lambda key: key + "x", lambda key: key.upper(), lambda key: ""]
)
def test_a_wrong_key_is_none(path, change) -> None:
    key = add_key(path, "one", Role.DETECT)
    assert KeyRing(path).verify(change(key)) is None


def test_one_key_does_not_open_by_the_id_of_another(path) -> None:
    first, second = (add_key(path, name, Role.DETECT) for name in ("one", "two"))
    swapped = "_".join([*second.split("_", 2)[:2], first.split("_", 2)[2]])
    assert KeyRing(path).verify(swapped) is None


def test_a_revoked_key_is_useless_at_once_and_a_new_one_is_good(path) -> None:
    key = add_key(path, "one", Role.DETECT)
    ring = KeyRing(path)
    assert ring.verify(key)
    revoke_key(path, "one")
    assert ring.known(key) is None
    assert ring.verify(key) is None
    assert ring.verify(add_key(path, "one", Role.ADMIN))


def test_a_file_that_breaks_keeps_the_keys_in_force_and_is_told_once(path, caplog) -> None:
    key = add_key(path, "one", Role.DETECT)
    ring = KeyRing(path)
    path.write_text("{")
    assert ring.verify(key)
    assert ring.known(key)
    path.unlink()
    assert ring.known(key)
    assert ring.known(key)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert all("stay in force" in message for message in messages)
    with pytest.raises(AccessError, match="cannot be read"):
        KeyRing(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(format_version=2),
        lambda content: content["keys"][0].update(role="owner"),
        lambda content: content["keys"][0].update(hash="00"),
        lambda content: content["keys"][0].update(salt=""),
        lambda content: content["keys"][0].pop("name"),
        lambda content: content.update(keys=3),
    ],
)
def test_a_file_of_something_else_is_refused(path, change) -> None:
    add_key(path, "one", Role.DETECT)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(AccessError, match="is not a file of keys"):
        read_keys(path)


def test_keys_made_at_once_are_all_kept(path) -> None:
    threads = [threading.Thread(target=add_key, args=(path, f"key {n}", Role.DETECT)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.name for key in read_keys(path).values()} == {f"key {n}" for n in range(8)}
    assert os.listdir(path.parent) == ["keys.json"]  # noqa: PTH208


def test_the_commands(path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("CARIES_KEYS", str(path))
    assert main(["keys", "add", "--name", "desk"]) == 0
    key = capsys.readouterr().out.strip()
    assert KeyRing(path).verify(key)
    assert main(["keys", "add", "--name", "desk"]) == 1
    assert "there is a key named 'desk' already" in capsys.readouterr().err
    assert main(["keys", "add", "--name", "IT", "--role", "admin"]) == 0
    capsys.readouterr()
    assert main(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    assert "detect" in listed
    assert "admin " in listed
    assert key.split("_")[2] not in listed
    assert main(["keys", "revoke", "nobody"]) == 1
    assert "there is no key 'nobody'; there are: IT, desk" in capsys.readouterr().err
    assert main(["keys", "revoke", key.split("_")[1]]) == 0
    assert KeyRing(path).verify(key) is None
    assert main(["keys", "add", "--name", "../x\n"]) == 1
    monkeypatch.delenv("CARIES_KEYS")
    assert main(["keys", "list"]) == 2
    assert "no file of keys is set" in capsys.readouterr().err
