"""An archive worked through by QIDO-RS and WADO-RS, against a stand-in of DICOMweb."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.cli import main
from app.dicom.related import join_related
from app.errors import ArchiveError
from app.gateway import backfill as module
from app.gateway.backfill import DicomWebSource, Progress, backfill
from app.gateway.queue import Kind, Queue
from tests.app.gateway.archives import grey_scan, photo

VL, RADIOGRAPH = "1.2.840.10008.5.1.4.1.1.77.1.4", "1.2.840.10008.5.1.4.1.1.1.3"


class DicomWeb(BaseHTTPRequestHandler):
    """Studies 1.1 to 1.N with two photos, 1.2.3.1NN, and a radiograph each."""

    studies = 3
    fetched: list[str]
    broken: str | None = None
    grey: str | None = None
    cap: int = 1000
    ignores_offset: bool = False

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        parts = path.removeprefix("/dicom-web/").split("/")
        if parts == ["studies"]:
            assert query["StudyDate"] == ["20260101-20261231"]
            self.send_page([{"0020000D": {"Value": [f"1.{n}"]}} for n in range(self.studies)], query)
        elif len(parts) == 3:
            number = int(parts[1].removeprefix("1."))
            uids = [(VL, f"1.2.3.1{number}1"), (RADIOGRAPH, f"1.2.3.1{number}2"), (VL, f"1.2.3.1{number}3")]
            found = [
                {"00080016": {"Value": [kind]}, "0020000E": {"Value": ["1.9"]}, "00080018": {"Value": [uid]}}
                for kind, uid in uids
            ]
            self.send_page(found, query)
        elif parts[-1] == self.broken:
            self.send(b"", "text/plain", 500)
        else:
            self.fetched.append(parts[-1])
            make = grey_scan if parts[-1] == self.grey else photo
            self.send(*join_related([make(int(parts[-1].removeprefix("1.2.3.")))]))

    def send_page(self, found: list[dict[str, Any]], query: dict[str, list[str]]) -> None:
        offset = 0 if self.ignores_offset else int(query["offset"][0])
        page = found[offset : offset + min(int(query["limit"][0]), self.cap)]
        self.send(json.dumps(page).encode() if page else b"", "application/dicom+json")

    def send(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    DicomWeb.fetched, DicomWeb.studies, DicomWeb.broken, DicomWeb.grey = [], 3, None, None
    DicomWeb.cap, DicomWeb.ignores_offset = 1000, False
    server = ThreadingHTTPServer(("127.0.0.1", 0), DicomWeb)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/dicom-web"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Queue]:
    with closing(Queue(tmp_path / "queue")) as made:
        yield made


def filled(url: str, store: Queue, slept: list[float] | None = None) -> Progress:
    slept = slept if slept is not None else []
    *_, last = backfill(
        DicomWebSource(url), store, "20260101-20261231", max_bytes=10**6, per_minute=120, sleep=slept.append
    )
    return last


def test_photos_enter_the_queue_and_nothing_else(url: str, store: Queue) -> None:
    slept: list[float] = []
    assert filled(url, store, slept) == Progress(studies=3, queued=6)
    assert DicomWeb.fetched == [f"1.2.3.{number}" for number in (101, 103, 111, 113, 121, 123)]
    assert len(store.due(Kind.PHOTO, limit=99)) == 6
    assert slept == [0.5] * 6


def test_a_grey_scan_is_no_failure(url: str, store: Queue) -> None:
    DicomWeb.grey = "1.2.3.111"
    assert filled(url, store) == Progress(studies=3, queued=5, refused=1)


def test_a_second_call_resumes_the_first(url: str, store: Queue) -> None:
    DicomWeb.broken = "1.2.3.111"
    assert filled(url, store) == Progress(studies=3, queued=5, failed=1)
    DicomWeb.fetched, DicomWeb.broken = [], None
    assert filled(url, store) == Progress(studies=3, queued=1, known=5)
    assert DicomWeb.fetched == ["1.2.3.111"]
    store.answer(store.due(Kind.PHOTO)[0], "model/1", [], ["A"])
    assert filled(url, store).known == 6, "the answered one too"


def test_pages_of_studies(url: str, store: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    for number, queued in ((3, 6), (4, 2)):
        DicomWeb.studies = number
        assert filled(url, store).queued == queued


def test_a_service_that_answers_fewer_than_asked_for(url: str, store: Queue) -> None:
    DicomWeb.studies, DicomWeb.cap = 7, 2
    assert filled(url, store) == Progress(studies=7, queued=14)


def test_a_service_that_ignores_the_offset(url: str, store: Queue, caplog: pytest.LogCaptureFixture) -> None:
    DicomWeb.ignores_offset = True
    assert filled(url, store) == Progress(studies=3, queued=6)
    assert "it may have more than 3 studies" in caplog.text


def test_a_full_queue_is_waited_for(url: str, store: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if seconds == 1.0:
            store.answer(store.due(Kind.PHOTO)[0], "model/1", [], ["A"])

    list(backfill(DicomWebSource(url), store, "20260101-20261231", max_bytes=10**6, per_minute=120, sleep=sleep))
    assert slept.count(1.0) == 4


def test_an_archive_that_does_not_answer(store: Queue) -> None:
    with pytest.raises(ArchiveError, match="does not answer"):
        filled("http://127.0.0.1:1", store)


def test_the_command(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("CARIES_GATEWAY", str(tmp_path / "queue"))
    command = ["gateway", "backfill", "--archive", f"{url}/", "--study-date", "20260101-20261231"]
    assert main([*command, "--per-minute", "60000"]) == 0
    assert "3 studies: 6 photos wait now, 0 were known, 0 are not colour photos, 0 failed" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command[:-1], "2026"])
