"""Passwords and tokens for archives: read from a private file, sent to their archive, shown nowhere."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from app.cli import main
from app.dicom.related import join_related
from app.errors import SettingsError
from app.gateway.backfill import DicomWebSource
from app.gateway.credentials import read_credentials
from app.gateway.delivery import DicomWebArchive
from app.gateway.queue import DicomObject, Kind, Queue
from app.gateway.run import run
from app.peers import parse_destination, parse_peer
from app.settings import Settings
from tests.app.api.live_server import wait_for
from tests.app.gateway.archives import photo
from tests.app.gateway.web_server import web_server

SECRET = "s3cret-of-the-archive"
BASIC = "Basic Y2xpbmljOnMzY3JldC1vZi10aGUtYXJjaGl2ZQ=="


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def written(text: str, mode: int = 0o600) -> Path:
        path = tmp_path / "credentials"
        path.write_text(text)
        path.chmod(mode)
        return path

    return written


def test_lines(write: Callable[..., Path]) -> None:
    text = f"# archives\n\nhttp://a:8042/dicom-web/ basic clinic {SECRET}\n  https://b/rs bearer {SECRET}\n"
    assert read_credentials(write(text)) == {"http://a:8042/dicom-web": BASIC, "https://b/rs": f"Bearer {SECRET}"}
    assert read_credentials(None) == {}


@pytest.mark.parametrize(
    "line",
    [
        f"http://a basic {SECRET}",
        f"http://a digest clinic {SECRET}",
        f"ORTHANC@a:104 bearer {SECRET}",
        f"http://clinic:{SECRET}@a bearer x",
        f"http://a:x bearer {SECRET}",
        f"http://a bearer {SECRET} {SECRET}",
    ],
)
def test_other_lines_are_refused_without_repeating_them(write: Callable[..., Path], line: str) -> None:
    with pytest.raises(SettingsError, match="line 2, is not URL basic USER PASSWORD or URL bearer TOKEN") as refused:
        read_credentials(write(f"http://b bearer y\n{line}\n"))
    assert SECRET not in str(refused.value)


def test_the_file_is_the_owners_alone(write: Callable[..., Path], tmp_path: Path) -> None:
    for mode in (0o640, 0o604):
        with pytest.raises(SettingsError, match="may be read by others; run: chmod 600"):
            read_credentials(write("", mode))
    with pytest.raises(SettingsError, match="cannot be read: FileNotFoundError"):
        read_credentials(tmp_path / "missing")


def test_they_are_sent_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "object"
    path.write_bytes(photo())
    with web_server(401, b"") as (url, asked):
        archive = DicomWebArchive(url.rstrip("/"), BASIC)
        assert archive.send([path])[0].error == "the archive answered 401"
        assert asked[0].authorization == BASIC
        assert BASIC not in repr(archive) + repr(DicomWebSource(url, BASIC))
    body, kind = join_related([photo()])
    with web_server(200, body, {"Content-Type": kind}) as (url, asked):
        assert DicomWebSource(url.rstrip("/"), BASIC).fetch("1", "2", "3") == photo()
        assert asked[0].authorization == BASIC


def test_a_running_gateway_shows_them_nowhere(
    write: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    folder, stop = tmp_path / "queue", threading.Event()
    with web_server(400, b"") as (url, asked):
        path = write(f"{url} bearer {SECRET}\nhttp://elsewhere bearer other\n")
        with closing(Queue(folder)) as queue:
            queue.accept("1.2.3", photo())
            queue.answer(queue.due(Kind.PHOTO)[0], "m/1", [DicomObject("1.2.4", photo())], [url.rstrip("/")])
        settings = Settings(
            gateway=folder, gateway_port=0, gateway_peers=(parse_peer("CLINIC"),), gateway_credentials=path,
            gateway_archives=(parse_destination(url),), audit=tmp_path / "audit",
        )  # fmt: skip
        thread = threading.Thread(target=run, args=(settings, stop), kwargs={"ready": lambda *_: None})
        thread.start()
        try:
            wait_for(lambda: bool(asked), seconds=30)
            assert asked[0].authorization == f"Bearer {SECRET}"
        finally:
            stop.set()
            thread.join(60)
    monkeypatch.setenv("CARIES_GATEWAY", str(folder))
    assert main(["gateway", "list"]) == 0
    shown = capsys.readouterr()
    assert "the archive answered 400" in shown.out
    assert SECRET not in shown.out + shown.err + caplog.text
    kept = [one for place in (folder, tmp_path / "audit") for one in place.rglob("*") if one.is_file()]
    assert kept
    assert not any(SECRET.encode() in one.read_bytes() for one in kept)


def test_backfill_sends_them(write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARIES_GATEWAY", str(tmp_path / "queue"))
    with web_server(200, b"[]") as (url, asked):
        monkeypatch.setenv("CARIES_GATEWAY_CREDENTIALS", str(write(f"{url} bearer {SECRET}")))
        assert main(["gateway", "backfill", "--archive", url, "--study-date", "20260101"]) == 0
    assert [one.authorization for one in asked] == [f"Bearer {SECRET}"]
