"""Several servers reload by one command."""

from pathlib import Path

import pytest

from app.cli import main
from app.errors import SettingsError
from app.records.key_file import KeyFile, Role
from app.reload_servers import reload_server
from tests.app.api.hostile_server import hostile_server, http
from tests.app.api.live_server import Start, write_bundle


def test_each_server_reloads_and_failures_are_listed(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, key = KeyFile(tmp_path / "keys.json").add("operator", Role.ADMIN)
    (tmp_path / "key").write_text(f"{key}\n")
    with start(keys=tmp_path / "keys.json") as one, start(keys=tmp_path / "keys.json") as two:
        write_bundle(tmp_path, version=2)
        good = [f"http://127.0.0.1:{live.port}" for live in (one, two)]
        command = ["reload", "--key-file", str(tmp_path / "key"), "--server", *good]
        assert main(command) == 0
        assert capsys.readouterr().out == "".join(f"{server}  live: stand-in 2\n" for server in good)
        assert main([*command, "--version", "1"]) == 0
        assert capsys.readouterr().out.count("live: stand-in 1\n") == 2
        assert main(["reload", "--key-file", str(tmp_path / "key"), "--server", "http://127.0.0.1:1", good[0]]) == 1
        said = capsys.readouterr()
        assert said.out == f"{good[0]}  live: stand-in 2\n", "the others are still reloaded"
        assert "http://127.0.0.1:1  no answer: " in said.err
        assert main([*command, "--version", "7"]) == 1
        assert capsys.readouterr().err.count("404: ") == 2
        assert main(["reload", "--server", good[0]]) == 1
        assert "401: this path needs an API key" in capsys.readouterr().err
        assert main(["reload", "--key-file", str(tmp_path / "none"), "--server", good[0]]) == 2


def test_answers_of_other_servers_are_failures() -> None:
    for body in (http(b"<html>"), http(b"[]"), http(b"{}", "500 Oh"), b"nonsense\r\n\r\n"):
        with hostile_server({"/models/reload": body}) as server:
            done = reload_server(server.address, "secret")
        assert (done.is_done, done.text) == (False, "the answer is not that of a caries-screen server")


@pytest.mark.parametrize(
    "server", ["127.0.0.1:8000", "ftp://h", "http://", "http://h:x", "http://h/path", "http://h?a"]
)
def test_addresses_that_are_no_servers(server: str) -> None:
    with pytest.raises(SettingsError, match=r"it must be http://HOST\[:PORT\]"):
        reload_server(server, None)
