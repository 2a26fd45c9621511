"""The DICOM gateway against the same questions asked of the server directly.

    python -m benchmarks.gateway --out gateway.json [--photos 1000] [--associations 2]

The gateway, the server, the modality and the archive (both pynetdicom) are processes that share the cores of this
machine. The server is asked for the same two objects by as many clients as there are associations.

    detect      photos a second of POST /detect, and the server's processor milliseconds for a photo
    gateway     photos a second from the first C-STORE to the last object in the archive, and each process's processor
                milliseconds for a photo
    ratio       of the two rates
    latency     p50_ms and p99_ms from C-STORE to the second object in the archive, at half of the gateway's rate
    objects     processor milliseconds to build the report and the Secondary Capture of 5 boxes
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import photos
from benchmarks.process_tree import cpu_s, processes
from benchmarks.serving import ROOT, Server, free_port, serving

VL_PHOTOGRAPHIC, SR, CAPTURE = (
    f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("77.1.4", "88.34", "7")
)  # fmt: skip
JPEG_BASELINE, EXPLICIT_LITTLE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.1"
RELATED = 'multipart/related; type="application/dicom"'
STUDY = "1.2.826.0.1.3680043.8.498.7"
OBJECTS = 2
"""That answer a photo."""

KINDS = 8
"""Different rendered mouths."""

MAX_WAIT_S = 600.0
Figures = dict[str, Any]
SPAWN = multiprocessing.get_context("spawn")


def dicom_photo(jpeg: bytes, number: int) -> bytes:
    """A VL Photographic Image of a JPEG, alone in its study."""
    from PIL import Image
    from pydicom import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    made, meta = Dataset(), FileMetaDataset()
    made.SOPClassUID, made.SOPInstanceUID = VL_PHOTOGRAPHIC, f"{STUDY}.{number}.1"
    made.StudyInstanceUID, made.SeriesInstanceUID = f"{STUDY}.{number}", f"{STUDY}.{number}.2"
    made.StudyDate, made.StudyTime, made.Modality = "20261130", "101500", "XC"
    made.PatientName, made.PatientID = "Benchmark^Photo", str(number)
    with Image.open(io.BytesIO(jpeg)) as image:
        made.Columns, made.Rows = image.size
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "YBR_FULL_422", 0
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.PixelData = encapsulate([jpeg])
    made["PixelData"].is_undefined_length = True
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    meta.TransferSyntaxUID = UID(JPEG_BASELINE)
    made.file_meta = meta
    out = io.BytesIO()
    made.save_as(out, enforce_file_format=True)
    return out.getvalue()


def run_archive(connection: Connection) -> None:
    """An archive until the connection says stop: sends its port, then number and time of each object's photo."""
    from pynetdicom import AE, evt

    from app.photo.dicom_file import read_structure

    def keep(event: Any) -> int:
        study = read_structure(event.encoded_dataset()).text(0x0020_000D)
        connection.send((int(study.rpartition(".")[2]), time.time()))
        return 0

    entity = AE("ARCHIVE")
    entity.add_supported_context(SR, EXPLICIT_LITTLE)
    entity.add_supported_context(CAPTURE, JPEG_BASELINE)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    assert server is not None
    connection.send(server.server_address[1])
    connection.recv()
    server.shutdown()


def send(port: int, paths: Sequence[str], pause_s: float, connection: Connection) -> None:
    """Send files in one association, each `pause_s` after the one before; the time of each C-STORE by number."""
    from pydicom import dcmread
    from pynetdicom import AE

    read = [dcmread(path) for path in paths]
    entity = AE("MODALITY")
    entity.dimse_timeout = entity.network_timeout = MAX_WAIT_S
    entity.add_requested_context(VL_PHOTOGRAPHIC, JPEG_BASELINE)
    association = entity.associate("127.0.0.1", port, ae_title="CARIES")
    assert association.is_established, "the gateway refuses the association"
    times, due = {}, time.monotonic()
    for one in read:
        time.sleep(max(0.0, due - time.monotonic()))
        due += pause_s
        times[int(one.StudyInstanceUID.rpartition(".")[2])] = time.time()
        assert association.send_c_store(one).Status == 0
    association.release()
    connection.send(times)


@dataclass(slots=True)
class Archive:
    """The archive's process and what has arrived there.

    Attributes:
        port: for DICOM.
        arrived: times by number of the photo.
    """

    port: int
    pid: int
    arrived: dict[int, list[float]]

    def wait_for(self, numbers: range) -> None:
        """Return when each photo has its objects; raises TimeoutError."""
        end = time.monotonic() + MAX_WAIT_S
        while not all(len(self.arrived.get(number, ())) >= OBJECTS for number in numbers):
            if time.monotonic() > end:
                raise TimeoutError("the archive has not got all objects")
            time.sleep(0.02)


@contextmanager
def archive() -> Iterator[Archive]:
    """A running archive."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=run_archive, args=(theirs,))
    process.start()
    made = Archive(ours.recv(), process.pid or 0, {})

    def listen() -> None:
        try:
            while True:
                number, when = ours.recv()
                made.arrived.setdefault(number, []).append(when)
        except (EOFError, OSError):
            pass

    theirs.close()
    threading.Thread(target=listen, daemon=True).start()
    try:
        yield made
    finally:
        ours.send("stop")
        process.join(30)
        ours.close()


@contextmanager
def gateway(folder: Path, server: Server, to: Archive) -> Iterator[tuple[int, int]]:
    """A running gateway: its port and process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CARIES_")}
    environment |= {
        "CARIES_GATEWAY": str(folder),
        "CARIES_GATEWAY_PORT": str(port := free_port()),
        "CARIES_GATEWAY_PEERS": "MODALITY",
        "CARIES_GATEWAY_ARCHIVES": f"ARCHIVE@127.0.0.1:{to.port}",
        "CARIES_GATEWAY_SERVER": server.url,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-P", "-m", "app", "gateway", "run"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        while not re.search(r"listens on port", line := process.stderr.readline()):
            if not line:
                raise RuntimeError("the gateway did not start")
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(60)
        process.stderr.close()


def sent(port: int, paths: Sequence[Path], associations: int, pause_s: float = 0.0) -> dict[int, float]:
    """Send photos in some associations at a time; the time of each C-STORE."""
    started = []
    for number in range(associations):
        ours, theirs = SPAWN.Pipe(duplex=False)
        share = [str(path) for path in paths[number::associations]]
        process = SPAWN.Process(target=send, args=(port, share, pause_s * associations, theirs))
        process.start()
        theirs.close()
        started.append((process, ours))
    times: dict[int, float] = {}
    for process, ours in started:
        times |= ours.recv()
        process.join(30)
    return times


def objects() -> Figures:
    """Processor milliseconds to build each object, of 5 boxes on a small photo."""
    from app.detector.bundle import find_bundle, read_bundle
    from app.detector.detections import Detections
    from app.dicom.capture import build_capture
    from app.dicom.report import build_report
    from app.dicom.source import read_source
    from app.photo.encoding import encode
    from app.screen_photo import Options, ScreenedPhoto
    from app.screening import ClassSelection, Screening, Verdict
    from app.settings import Precision

    bundle = read_bundle(find_bundle(ROOT / "model_store", None, None))
    boxes = np.array([[0.1, 0.1 * n, 0.5, 0.1 * n + 0.2] for n in range(1, 6)], np.float32)
    found = Detections(boxes, np.linspace(0.9, 0.5, 5, dtype=np.float32), np.full(5, bundle.screened_class_id))
    (path,) = photos.rendered(photos.SMALL)
    screened = ScreenedPhoto(
        bundle=bundle, width=640, height=480, sha256="", detections=found, timings_ms={}, evidence=None,
        screening=Screening(Verdict.CARIES_SUSPECTED, (), 5, found, 0), operating_point=bundle.operating_point,
        picture=encode(np.full((480, 640, 3), 90, np.uint8), "image/jpeg"), precision=Precision.INT8,
    )  # fmt: skip
    options = Options(classes=ClassSelection.ALL, media_type="image/jpeg")
    source = read_source(dicom_photo(path.read_bytes(), 1), None)
    figures = {}
    for name, build in (("report", build_report), ("capture", build_capture)):
        taken = []
        for _ in range(30):
            begun = time.process_time()
            build(source, screened, options)
            taken.append((time.process_time() - begun) * 1000)
        figures[f"{name}_cpu_ms"] = round(statistics.median(taken), 2)
    return figures


def measure(count: int, associations: int) -> Figures:
    """All figures for `count` photos."""
    rendered = [path.read_bytes() for path in photos.rendered(photos.SMALL, KINDS)]
    with tempfile.TemporaryDirectory() as temporary, serving() as server, archive() as to:
        folder, paths = Path(temporary), []
        paced = min(200, count)
        for number in range(1, associations + count + paced + 1):
            path = folder / f"{number}.dcm"
            path.write_bytes(dicom_photo(rendered[number % KINDS], number))
            paths.append(path)
        first, last = associations + 1, associations + count
        detect = server.measure(
            paths[: 4 * KINDS], accept=RELATED, type="application/dicom", clients=associations, requests=count
        )
        if detect["errors"]:
            raise RuntimeError(f"/detect answered {detect['statuses']}")
        with gateway(folder / "queue", server, to) as (port, pid):
            sent(port, paths[:associations], associations)
            to.wait_for(range(1, first))
            groups = {"gateway": [pid], "archive": [to.pid], "server": processes(server.pid)}
            before = {name: cpu_s(pids) for name, pids in groups.items()}
            begun = min(sent(port, paths[first - 1 : last], associations).values())
            to.wait_for(range(first, last + 1))
            rate = count / (max(to.arrived[number][-1] for number in range(first, last + 1)) - begun)
            spent = {f"{name}_cpu_ms": round((cpu_s(groups[name]) - before[name]) * 1000 / count, 1) for name in groups}
            started = sent(port, paths[last:], 1, pause_s=2 / rate)
            to.wait_for(range(last + 1, last + paced + 1))
    taken = [(to.arrived[number][-1] - when) * 1000 for number, when in started.items()]
    cuts = statistics.quantiles(taken, n=100)
    return {
        "photos": count,
        "associations": associations,
        "detect": {"photos_per_s": detect["throughput"], "server_cpu_ms": detect["server_cpu_ms"]},
        "gateway": {"photos_per_s": round(rate, 2), **spent},
        "ratio": round(rate / detect["throughput"], 3),
        "latency": {"photos": paced, "p50_ms": round(cuts[49], 1), "p99_ms": round(cuts[98], 1)},
        "objects": objects(),
    }


def main() -> int:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--associations", type=int, default=2)
    arguments = parser.parse_args()
    figures = measure(arguments.photos, arguments.associations)
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
