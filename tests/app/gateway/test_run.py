"""The gateway as a whole: from a modality to the archive."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from app.errors import SettingsError
from app.gateway import run as module
from app.gateway.queue import Kind, Queue
from app.gateway.run import run, tls_contexts
from app.peers import parse_destination, parse_peer
from app.settings import Settings
from tests.app.api.live_server import Live, records, wait_for
from tests.app.gateway.archives import Archive, archive, photo, store

CLINIC = (parse_peer("CLINIC"),)


@pytest.fixture
def there() -> Iterator[Archive]:
    with archive() as made:
        yield made


@contextmanager
def running(settings: Settings) -> Iterator[int]:
    """The gateway in threads of this process; its port for DICOM."""
    stop, listens, ports = threading.Event(), threading.Event(), list[int]()

    def ready(receiver: Any, _: Any) -> None:
        ports.append(receiver.port)
        listens.set()

    thread = threading.Thread(target=run, args=(settings, stop), kwargs={"ready": ready})
    thread.start()
    try:
        assert listens.wait(30)
        yield ports[0]
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def settings(tmp_path: Path, live: Live, there: Archive, **changes: Any) -> Settings:
    given = {
        "gateway": tmp_path / "queue",
        "gateway_port": 0,
        "gateway_peers": CLINIC,
        "gateway_archives": (there.destination,),
        "gateway_server": f"http://127.0.0.1:{live.port}",
    }
    return Settings(**{**given, **changes})


def test_from_the_modality_to_the_archive(
    tmp_path: Path, live: Live, there: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AUDIT_S", 600.0)  # at the end it writes what is left
    photos = [photo(number) for number in range(1, 9)]
    audit = tmp_path / "audit"
    with running(settings(tmp_path, live, there, audit=audit)) as port:
        sent = [threading.Thread(target=store, args=(port, *half)) for half in (photos[:4], photos[4:])]
        for thread in sent:
            thread.start()
        for thread in sent:
            thread.join()
        wait_for(lambda: len(there.kept) == 16, seconds=60)
        assert store(port, *photos) == [0] * 8, "sent again"
        asked = live.metric("caries_verdicts_total", verdict="caries_suspected")
        wait_for(lambda: live.metric("caries_verdicts_total", verdict="caries_suspected") >= asked, seconds=60)
        wait_for(lambda: not list((tmp_path / "queue" / "files").iterdir()), seconds=60)
    assert there.sources() == [f"1.2.3.{number}" for number in range(1, 9)]
    assert len(there.arrived) == 16, "each object once"
    assert {str(kept.StudyInstanceUID) for kept in there.kept.values()} == {"1.2.826.0.1.3680043.8.498.1.1"}
    lines = records(audit)
    assert [line["event"] for line in lines] == ["photo_answered"] * 8
    assert "1.2.3." not in str(lines)


def test_an_archive_that_was_down(tmp_path: Path, live: Live, there: Archive) -> None:
    there.close()
    with running(settings(tmp_path, live, there)) as port:
        assert store(port, photo(1)) == [0]
        wait_for(lambda: live.metric("caries_verdicts_total", verdict="caries_suspected") == 1)
        there.open()
        wait_for(lambda: len(there.kept) == 2, seconds=60)


def test_the_archives_own_copies_of_answers_are_not_answered(tmp_path: Path, live: Live, there: Archive) -> None:
    with running(settings(tmp_path, live, there)) as port:
        store(port, photo(1))
        wait_for(lambda: len(there.kept) == 2, seconds=60)
        wait_for(lambda: not list((tmp_path / "queue" / "files").iterdir()), seconds=60)
        before = live.metric("caries_verdicts_total", verdict="caries_suspected")
        picture = next(kept for kept in there.kept.values() if kept.Modality == "OT")
        path = tmp_path / "picture.dcm"
        picture.save_as(path, enforce_file_format=True)
        assert store(port, path.read_bytes()) == [0]
        assert not list((tmp_path / "queue" / "files").iterdir())
        assert live.metric("caries_verdicts_total", verdict="caries_suspected") == before


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_tls_both_ways(tmp_path: Path, live: Live) -> None:
    """A peer without a certificate, or without TLS, is turned away."""
    certificates = tmp_path / "tls"
    certificates.mkdir()
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=clinic"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(command, cwd=certificates, check=True, capture_output=True)
    shutil.copy(certificates / "certificate.pem", certificates / "peers.pem")
    incoming, outgoing = tls_contexts(certificates)
    assert outgoing is not None
    stranger = ssl.create_default_context(cafile=certificates / "peers.pem")
    with (
        archive(incoming) as there,
        running(settings(tmp_path, live, there, gateway_tls=certificates)) as port,
    ):
        silent = socket.create_connection(("127.0.0.1", port))
        assert store(port, photo(1)) == []
        assert store(port, photo(1), tls=stranger) == []
        assert store(port, photo(1), tls=outgoing) == [0]
        silent.close()
        wait_for(lambda: len(there.kept) == 2, seconds=60)


def test_missing_settings(tmp_path: Path) -> None:
    to = (parse_destination("A@127.0.0.1:1"),)
    for given, message in (
        ({"gateway": tmp_path}, "no archive is configured"),
        ({"gateway": tmp_path, "gateway_archives": to}, "no one may send"),
        ({"gateway_archives": to, "gateway_peers": CLINIC}, "no folder for the queue"),
        (
            {"gateway": tmp_path, "gateway_archives": to, "gateway_peers": CLINIC, "gateway_tls": tmp_path},
            "certificates",
        ),
    ):
        with pytest.raises(SettingsError, match=message):
            run(Settings(**given), threading.Event(), ready=lambda *_: None)  # type: ignore[arg-type]


def test_dead_letters_are_listed_and_resent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = Queue(tmp_path / "queue")
    for number in range(2):
        queue.accept(f"1.2.{number}", b"photo")
        queue.failed(queue.due(Kind.PHOTO)[0], "415: not a colour photo", final=True)
    monkeypatch.setenv("CARIES_GATEWAY", str(tmp_path / "queue"))
    assert main(["gateway", "list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == 2
    assert "photo  1 tries  415: not a colour photo" in listed[0]
    assert main(["gateway", "resend", listed[0].split()[0]]) == 0
    assert len(queue.due(Kind.PHOTO, limit=9)) == 1
    assert main(["gateway", "resend"]) == 0
    assert len(queue.due(Kind.PHOTO, limit=9)) == 2
    assert "1 entry queued again" in capsys.readouterr().err
    queue.close()


def test_what_is_resent_while_the_gateway_runs_is_recorded(
    tmp_path: Path, live: Live, there: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARIES_GATEWAY", str(tmp_path / "queue"))
    with closing(Queue(tmp_path / "queue")) as queue:
        queue.accept("1.2.3", b"no DICOM file")
    with running(settings(tmp_path, live, there, audit=tmp_path / "audit")):
        wait_for(lambda: len(records(tmp_path / "audit")) == 1)
        assert main(["gateway", "resend"]) == 0
        wait_for(lambda: len(records(tmp_path / "audit")) == 3)
    assert [line["event"] for line in records(tmp_path / "audit")] == [
        *("photo_given_up", "photo_resent", "photo_given_up")
    ]


def test_a_damaged_queue_is_an_error_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: Queue) -> list[Any]:
        raise sqlite3.DatabaseError("malformed")

    monkeypatch.setenv("CARIES_GATEWAY", str(tmp_path))
    monkeypatch.setattr(Queue, "dead", fails)
    for command in ("list", "resend"):
        assert main(["gateway", command]) == 1
        assert capsys.readouterr().err == f"caries: the queue in {tmp_path} cannot be used: malformed\n"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://u:secret@host", "http://host:x", "host"])
def test_backfill_takes_a_web_address_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("CARIES_GATEWAY", str(tmp_path))
    with pytest.raises(SystemExit):
        main(["gateway", "backfill", "--archive", url, "--study-date", "20260101"])
