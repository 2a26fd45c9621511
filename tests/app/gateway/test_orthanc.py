"""Debian's Orthanc, configured as `deploy/orthanc` is: photos stored there come back with their answers."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.gateway import receiver
from app.gateway.backfill import DicomWebSource, Progress, backfill
from app.gateway.intake import keep
from app.gateway.queue import Kind, Queue
from app.peers import Destination, parse_peer
from tests.app.api.live_server import Live, wait_for
from tests.app.dicom.answers import assert_conforms
from tests.app.gateway.archives import grey_scan, photo, store
from tests.app.gateway.test_run import running, settings
from tests.conftest import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("Orthanc") is None, reason="Debian's Orthanc is not installed"),
]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Orthanc:
    """Orthanc with the shipped configuration, in a folder and on ports of a test.

    Attributes:
        client: of its REST interface.
        caries_port: on which it expects the gateway.
    """

    def __init__(self, folder: Path) -> None:
        self.port, self.http_port, self.caries_port = free_port(), free_port(), free_port()
        config = json.loads((ROOT / "deploy" / "orthanc" / "orthanc.json").read_text())
        config |= {
            "StorageDirectory": str(folder),
            "IndexDirectory": str(folder),
            "DicomPort": self.port,
            "HttpPort": self.http_port,
            "AuthenticationEnabled": False,
            "LuaScripts": [str(ROOT / "deploy" / "orthanc" / "caries.lua")],
            "DicomModalities": {
                "caries": ["CARIES", "127.0.0.1", self.caries_port],
                "clinic": ["CLINIC", "127.0.0.1", 104],
            },
        }
        self._config = folder / "orthanc.json"
        self._config.write_text(json.dumps(config))
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.http_port}", timeout=30)
        self.start()

    def start(self) -> None:
        self._log = (self._config.parent / "log").open("ab")
        self._process = subprocess.Popen(
            [shutil.which("Orthanc") or "", self._config], stdout=self._log, stderr=self._log
        )
        wait_for(self._answers, seconds=60)

    def kill(self, number: int = signal.SIGKILL) -> None:
        self._process.send_signal(number)
        self._process.wait(60)
        self._log.close()

    def _answers(self) -> bool:
        try:
            return self.client.get("/system").status_code == 200
        except httpx.TransportError:
            return False

    def instances(self) -> list[dict[str, Any]]:
        """Every instance with its tags."""
        found = self.client.get("/instances?expand").json()
        return [entry["MainDicomTags"] | {"ID": entry["ID"], "Series": entry["ParentSeries"]} for entry in found]

    @property
    def destination(self) -> Destination:
        return Destination("ORTHANC", "127.0.0.1", self.port)

    @property
    def web(self) -> Destination:
        return Destination("", "", 0, f"http://127.0.0.1:{self.http_port}/dicom-web")


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    folder = tmp_path / "orthanc"
    folder.mkdir()
    made = Orthanc(folder)
    yield made
    made.kill()
    made.client.close()


@pytest.mark.parametrize(("by", "photos"), [("C-STORE", 50), ("STOW-RS", 5)])
def test_photos_come_back_with_their_answers(
    tmp_path: Path, live: Live, orthanc: Orthanc, by: str, photos: int
) -> None:
    to = orthanc.destination if by == "C-STORE" else orthanc.web
    chosen = settings(
        tmp_path,
        live,
        orthanc,  # type: ignore[arg-type]
        gateway_port=orthanc.caries_port,
        gateway_peers=(parse_peer("ORTHANC"),),
        gateway_archives=(to,),
    )
    with running(chosen):
        sent = [
            photo(n, StudyInstanceUID=f"1.2.4.{n % 5}", SeriesInstanceUID=f"1.2.5.{n % 5}") for n in range(1, photos)
        ]
        assert store(orthanc.port, *sent, called="ORTHANC") == [0] * len(sent)
        wait_for(lambda: len(orthanc.instances()) >= 3 * len(sent), seconds=100)
        orthanc.kill()
        orthanc.start()
        assert store(orthanc.port, photo(photos), called="ORTHANC") == [0]
        wait_for(lambda: len(orthanc.instances()) >= 3 * photos, seconds=60)
        wait_for(lambda: not list((tmp_path / "queue" / "files").iterdir()), seconds=60)
    assert len(orthanc.instances()) == 3 * photos, "answers are not answered"
    for study in orthanc.client.get("/studies?expand").json():
        series = [orthanc.client.get(f"/series/{one}").json() for one in study["Series"]]
        numbers = {one["MainDicomTags"]["Modality"]: len(one["Instances"]) for one in series}
        assert numbers["SR"] == numbers["OT"] == numbers["XC"]
        for one in series:
            if one["MainDicomTags"]["Modality"] != "XC":
                assert_conforms(orthanc.client.get(f"/instances/{one['Instances'][0]}/file").content, tmp_path)


def test_grey_scans_stay_in_the_archive(
    tmp_path: Path, live: Live, orthanc: Orthanc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Orthanc's script, which sends none, and by the gateway, which a backfill asks to keep one."""
    came = list[bytes]()

    def spy(queue: Queue, data: bytes, max_bytes: int) -> bool:
        came.append(data)
        return keep(queue, data, max_bytes)

    monkeypatch.setattr(receiver, "keep", spy)
    kinds = ["1.2.840.10008.5.1.4.1.1.77.1.4.1", "1.2.840.10008.5.1.4.1.1.77.1.1.1"]
    chosen = settings(
        tmp_path,
        live,
        orthanc,  # type: ignore[arg-type]
        gateway_port=orthanc.caries_port,
        gateway_peers=(parse_peer("ORTHANC"),),
    )
    with running(chosen):
        sent = [grey_scan(1), *[photo(2 + n, SOPClassUID=kind) for n, kind in enumerate(kinds)]]
        assert store(orthanc.port, *sent, called="ORTHANC") == [0] * 3
        wait_for(lambda: len(orthanc.instances()) >= 7, seconds=60)
    assert [b"MONOCHROME2" in data for data in came] == [False] * 2
    with closing(Queue(tmp_path / "queue")) as queue:
        assert queue.counts()["received_total"] == 2
        *_, last = backfill(DicomWebSource(orthanc.web.url), queue, "20261130", max_bytes=10**6, per_minute=60_000)
        assert (last.queued, last.refused, last.failed) == (0, 1, 0)
        assert queue.dead() == []


def test_an_archive_is_worked_through(tmp_path: Path, orthanc: Orthanc) -> None:
    """By Orthanc's DICOMweb, with the gateway's own objects in it."""
    sent = [photo(n, StudyInstanceUID=f"1.2.4.{n % 2}", SeriesInstanceUID=f"1.2.5.{n % 2}") for n in range(1, 6)]
    answers = [photo(9, Manufacturer="caries-screen")]
    assert store(orthanc.port, *sent, *answers, called="ORTHANC") == [0] * 6
    source = DicomWebSource(orthanc.web.url)
    with closing(Queue(tmp_path / "queue")) as queue:
        *_, last = backfill(source, queue, "20261101-20261231", max_bytes=10**6, per_minute=60_000)
        assert last == Progress(studies=3, queued=5)
        assert len(queue.due(Kind.PHOTO, limit=9)) == 5
        assert list(backfill(source, queue, "20250101", max_bytes=10**6, per_minute=60_000)) == []
