"""Delivery by C-STORE and by STOW-RS."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from app.detector.bundle import Bundle
from app.dicom.objects import build_objects
from app.gateway.delivery import Outcome, StoreArchive, WebArchive
from app.gateway.related import split_related
from app.peers import Destination
from tests.app.dicom.answers import OPTIONS, screened, source
from tests.app.gateway.archives import Archive, archive
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


class Stow(BaseHTTPRequestHandler):
    status = 200
    got: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).got = split_related(body, self.headers) if self.path == "/dicom-web/studies" else []
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

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


def test_stow(paths: list[Path], stow: str) -> None:
    for path in paths:
        assert WebArchive(stow).send([path]) == [Outcome()]
        assert Stow.got == [path.read_bytes()]


@pytest.mark.parametrize(("status", "final"), [(409, True), (503, False), (401, False)])
def test_stow_refusals(paths: list[Path], stow: str, monkeypatch: pytest.MonkeyPatch, status: int, final: bool) -> None:
    monkeypatch.setattr(Stow, "status", status)
    assert WebArchive(stow).send(paths[:1]) == [Outcome(f"the archive answered {status}", final)]


def test_no_web_archive(paths: list[Path]) -> None:
    (outcome,) = WebArchive("http://127.0.0.1:1").send(paths[:1])
    assert "does not answer" in outcome.error
    assert not outcome.final
    assert Destination("", "", 0, "http://x").url
