"""Delivery by C-STORE and by STOW-RS."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import SecondaryCaptureImageStorage
from pynetdicom import AE, Association

from app.detector.bundle import Bundle
from app.dicom.objects import build_objects
from app.dicom.related import split_related
from app.gateway.delivery import Checkpoint, DicomWebArchive, Outcome, StoreArchive
from app.peers import Destination
from tests.app.api.live_server import wait_for
from tests.app.dicom.answers import OPTIONS, screened, source
from tests.app.gateway.archives import Archive, archive
from tests.app.gateway.web_server import web_server
from tests.app.photo import dicom_files


@pytest.fixture
def paths(shipped_bundle: Bundle, tmp_path: Path) -> list[Path]:
    made = []
    for number, data in enumerate(build_objects(source(), screened(shipped_bundle), OPTIONS)):
        path = tmp_path / str(number)
        path.write_bytes(data)
        made.append(path)
    return made


def test_c_store(paths: list[Path]) -> None:
    with archive() as there:
        outcomes = StoreArchive(there.destination, "CARIES").send(paths)
        assert outcomes == [Outcome(), Outcome()]
        assert sorted(kept.Modality for kept in there.kept.values()) == ["OT", "SR"]
        assert there.sources() == [str(source().header.SOPInstanceUID)]


@pytest.mark.parametrize(("status", "error", "final"), [(0xA700, "0xA700", False), (0xC000, "0xC000", True)])
def test_statuses(paths: list[Path], status: int, error: str, final: bool) -> None:
    with archive() as there:
        there.status = status
        for outcome in StoreArchive(there.destination, "CARIES").send(paths):
            assert error in outcome.error
            assert outcome.final is final
        there.status = 0xB000
        assert StoreArchive(there.destination, "CARIES").send(paths) == [Outcome(), Outcome()]


def test_a_checkpoint_that_is_set_for_a_moment_lets_no_thread_through() -> None:
    association = Association(AE(), "requestor")
    checkpoint, is_waiting = Checkpoint(association), threading.Event()
    checkpoint.clear()
    association._is_paused = True

    def wait() -> None:
        is_waiting.set()
        checkpoint.wait()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    is_waiting.wait()
    thread.join(0.1)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(10)  # no other thread runs in between
    try:
        checkpoint.set()
        checkpoint.clear()
    finally:
        sys.setswitchinterval(interval)
    thread.join(0.2)
    assert thread.is_alive()
    assert association._is_paused
    checkpoint.set()
    thread.join(10)
    assert not thread.is_alive()
    assert not association._is_paused, "before the event can be cleared"


def test_an_association_uses_the_new_checkpoint() -> None:
    with archive() as there:
        to = there.destination
        entity = AE("CARIES")
        entity.add_requested_context(SecondaryCaptureImageStorage)
        association = entity.associate(to.host, to.port, ae_title=to.title)
        assert association.is_established
        before = association._reactor_checkpoint
        try:
            Checkpoint.install(association)
            before.clear()  # would stop a thread that still used it
            after = association._reactor_checkpoint
            after.clear()
            wait_for(lambda: association._is_paused)
            after.set()
            wait_for(lambda: not association._is_paused)
        finally:
            association.release()


def test_an_archive_that_is_down(paths: list[Path]) -> None:
    there = Archive()
    there.open()
    there.close()
    for outcome in StoreArchive(there.destination, "CARIES").send(paths):
        assert outcome == Outcome("the archive does not accept an association")


def test_an_object_that_the_archive_does_not_take(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(dicom_files.native())
    with archive() as there:
        (outcome,) = StoreArchive(there.destination, "CARIES").send([path])
    assert outcome.final


def confirmation(path: Path, name: str = "00081199", **more: Any) -> bytes:
    """The answer of an archive that has stored an object, or has not."""
    uid = str(dcmread(path).SOPInstanceUID)
    return json.dumps({name: {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": [uid]}, **more}]}}).encode()


def test_a_file_that_cannot_be_read_does_not_stop_the_others(paths: list[Path], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"no DICOM")
    with archive() as there:
        outcomes = StoreArchive(there.destination, "CARIES").send([tmp_path / "missing", damaged, *paths])
        assert [outcome.error for outcome in outcomes] == [
            "the object cannot be sent: FileNotFoundError",
            "the object cannot be sent: InvalidDicomError",
            "",
            "",
        ]
        assert len(there.kept) == 2


def test_a_missing_file_is_not_posted(tmp_path: Path) -> None:
    (outcome,) = DicomWebArchive("http://127.0.0.1:1").send([tmp_path / "missing"])
    assert outcome == Outcome("the object cannot be sent: FileNotFoundError")


class Stow(BaseHTTPRequestHandler):
    status = 200
    answer = b""
    got: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).got = split_related(body, self.headers) if self.path == "/dicom-web/studies" else []
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stow() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Stow)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/dicom-web"
    server.shutdown()
    thread.join()
    server.server_close()


def test_stow(paths: list[Path], stow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in paths:
        monkeypatch.setattr(Stow, "answer", confirmation(path))
        assert DicomWebArchive(stow).send([path]) == [Outcome()]
        assert Stow.got == [path.read_bytes()]


def test_only_a_named_object_is_delivered(paths: list[Path], stow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in (b"", b"{}", b"[]", b"no JSON", confirmation(paths[1]), b'{"00081199": {"Value": [{}]}}'):
        monkeypatch.setattr(Stow, "answer", answer)
        assert DicomWebArchive(stow).send(paths[:1]) == [
            Outcome("the archive's answer does not name the object as stored")
        ]
    monkeypatch.setattr(Stow, "status", 202)
    for reason, final in ((0xA700, False), (0xC000, True)):
        failed = confirmation(paths[0], "00081198", **{"00081197": {"vr": "US", "Value": [reason]}})
        monkeypatch.setattr(Stow, "answer", failed)
        assert DicomWebArchive(stow).send(paths[:1]) == [
            Outcome(f"the archive refused the object: 0x{reason:04X}", final)
        ]


def test_a_redirect_is_no_delivery(paths: list[Path]) -> None:
    with web_server(302, confirmation(paths[0]), {"Location": "/studies"}) as (url, asked):
        assert DicomWebArchive(url.rstrip("/")).send(paths[:1]) == [Outcome("the archive answered 302")]
    assert [one.method for one in asked] == ["POST"]


@pytest.mark.parametrize(("status", "final"), [(409, True), (503, False), (401, False)])
def test_stow_refusals(paths: list[Path], stow: str, monkeypatch: pytest.MonkeyPatch, status: int, final: bool) -> None:
    monkeypatch.setattr(Stow, "status", status)
    assert DicomWebArchive(stow).send(paths[:1]) == [Outcome(f"the archive answered {status}", final)]


def test_no_web_archive(paths: list[Path]) -> None:
    (outcome,) = DicomWebArchive("http://127.0.0.1:1").send(paths[:1])
    assert "does not answer" in outcome.error
    assert not outcome.final
    assert Destination("", "", 0, "http://x").url
