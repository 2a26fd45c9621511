"""Other servers with the same detector, each in turns with ours.

    python -m benchmarks.peers --out peers.json [--only NAME] [--seconds 2] [--rounds 5]

Every peer runs in a separate environment under `.venv/peers`, in its best configuration and in that of its quick start.
It must find the same boxes, and gets the load in turns with ours. A peer that cannot be installed or started, or finds
other boxes, is listed with the error. `README.md` here explains each configuration.

`peers.json` is a list of

    {"peer", "version", "configuration", "quick_start", "error",
     "json": {clients: figures of benchmarks.load}, "png": the same or null,
     "ours": {"json", "png"}, "memory_mb", "cpu_ms_per_request"}
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import load, photos
from benchmarks.process_tree import cpu_s, memory_kib, stat_fields
from benchmarks.server import medians
from benchmarks.serving import Server, free_port, serving

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENTS = ROOT / ".venv" / "peers"
JSON_CLIENTS, PNG_CLIENTS = (1, 8, 32), (1, 8)
MAX_START_S = 120
SAME_BOX = 0.02
"""Boxes whose corners, as fractions of the photo, differ by at most this are the same."""

Figures = dict[str, Any]


class PeerError(Exception):
    """A peer cannot be measured."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One server in one configuration.

    Attributes:
        name: its folder here.
        package: the package whose version is reported.
        title: its name in the report.
        how: `best` or `quick`, an argument of its `server.py`.
        configuration: in words.
        path: where photos are posted.
        body: see `benchmarks.load`.
        template: a JSON body; `PHOTO` is replaced by the photo in base64.
        field: name of the form field.
        draws: whether it answers PNG.
        tolerance: see `SAME_BOX`; larger for another form of the model.
    """

    name: str
    package: str
    title: str
    how: str
    configuration: str
    path: str = "/detect"
    body: str = "raw"
    template: str | None = None
    field: str = "file"
    draws: bool = False
    tolerance: float = SAME_BOX

    def options(self) -> dict[str, Any]:
        """Options of `benchmarks.load`."""
        return {"body": self.body, "field": self.field, **({"template": self.template} if self.template else {})}


V2 = (
    '{"inputs": [{"name": "photo", "shape": [1], "datatype": "BYTES", "parameters": {"content_type": "base64"}, '
    '"data": ["PHOTO"]}]}'
)
PEERS = (
    Peer("litserve", "litserve", "LitServe", "best", "base64 in JSON, a worker of one thread for each core",
         "/predict", "json", '{"image_data": "PHOTO"}'),
    Peer("litserve", "litserve", "LitServe", "quick", "base64 in JSON, Pillow",
         "/predict", "json", '{"image_data": "PHOTO"}'),
    Peer("bentoml", "bentoml", "BentoML", "best", "raw body, a worker of one thread for each core"),
    Peer("bentoml", "bentoml", "BentoML", "quick", "form, Pillow", body="multipart", field="photo"),
    Peer("mlserver", "mlserver", "MLServer", "best", "base64 in JSON, a pool of a process for each core",
         "/v2/models/caries/infer", "json", V2),
    Peer("mlserver", "mlserver", "MLServer", "quick", "base64 in JSON, Pillow, a pool of one",
         "/v2/models/caries/infer", "json", V2),
    Peer("ray_serve", "ray", "Ray Serve", "best", "raw body, a replica of one thread for each core"),
    Peer("ray_serve", "ray", "Ray Serve", "quick", "raw body, Pillow, one replica"),
    Peer("obvious", "fastapi", "obvious server (FastAPI)", "best", "form, TensorFlow SavedModel, Pillow, default PNG",
         body="multipart", draws=True, tolerance=0.1),
)  # fmt: skip


def environment(name: str) -> Path:
    """The Python of a peer's environment, which is created from its exact requirements if missing.

    Raises:
        PeerError: it cannot be installed.
    """
    folder = ENVIRONMENTS / name
    python = folder / "bin" / "python"
    if (folder / ".installed").exists():
        return python
    print(f"{name}: installing", file=sys.stderr, flush=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [*pip, "-r", str(HERE / name / "requirements.txt")],
    ):
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise PeerError(f"cannot be installed: {done.stderr.strip()[-300:]}")
    (folder / ".installed").touch()
    return python


@contextmanager
def running(peer: Peer, python: Path, log: Path) -> Iterator[Server]:
    """The peer, ready: it has answered a photo.

    Raises:
        PeerError: it ended, or did not answer within `MAX_START_S`.
    """
    port = free_port()
    command = [str(python), "-m", f"benchmarks.peers.{peer.name}.server", str(port), peer.how]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        found = Server(port, process.pid)
        deadline = time.monotonic() + MAX_START_S
        while True:
            try:
                answer(found.url, peer, photos.rendered(photos.SMALL)[0].read_bytes())
                break
            except (OSError, ValueError) as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise PeerError(f"does not answer: {error}; {_last_lines(log)}") from None
                time.sleep(0.3)
        yield found
    finally:
        end(process)


def answer(url: str, peer: Peer, data: bytes) -> list[list[float]]:
    """A server's boxes `[ymin, xmin, ymax, xmax, score]` on one photo, corners as fractions.

    Raises:
        OSError: there is no answer, or its status is not 2xx.
        ValueError: the answer has no boxes.
    """
    body, headers = data, {"Content-Type": "image/jpeg"}
    if peer.body == "json":
        body = str(peer.template).replace("PHOTO", base64.b64encode(data).decode()).encode()
        headers = {"Content-Type": "application/json"}
    elif peer.body == "multipart":
        body, headers = load.form([data], peer.field), {"Content-Type": load.FORM}
    request = urllib.request.Request(url + peer.path, body, {**headers, "Accept": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        text = response.read().decode()
    return boxes_in(text)


def boxes_in(text: str) -> list[list[float]]:
    """The boxes in an answer, plain or in the V2 protocol.

    Raises:
        ValueError: there are none.
    """
    found = json.loads(text)
    if "outputs" in found:
        found = json.loads(found["outputs"][0]["data"][0])
    if "boxes" not in found:
        raise ValueError(f"an answer without boxes: {text[:100]}")
    boxes: list[list[float]] = found["boxes"]
    return boxes


def our_boxes(url: str, data: bytes) -> list[list[float]]:
    """As `answer`, from our server."""
    request = urllib.request.Request(
        f"{url}/detect", data, {"Content-Type": "image/jpeg", "Accept": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        found = json.loads(response.read())
    width, height = found["image"]["width"], found["image"]["height"]
    return [
        [item["box"]["ymin"] / height, item["box"]["xmin"] / width, item["box"]["ymax"] / height,
         item["box"]["xmax"] / width, item["score"]]
        for item in found["detections"]
    ]  # fmt: skip


def check_same(ours: list[list[float]], theirs: list[list[float]], tolerance: float) -> None:
    """Check that each of their boxes is one of ours.

    Raises:
        PeerError: one is not, there are none, or the numbers differ.
    """
    if not theirs or abs(len(ours) - len(theirs)) > (0 if tolerance <= SAME_BOX else 2):
        raise PeerError(f"finds {len(theirs)} boxes where ours finds {len(ours)}")
    for box in theirs[: len(ours)]:
        nearest = min(max(abs(one - other) for one, other in zip(box[:4], mine[:4], strict=True)) for mine in ours)
        if nearest > tolerance:
            raise PeerError(f"finds a box that ours does not: {[round(value, 3) for value in box]}")


def measure(peer: Peer, python: Path, ours: Server, *, rounds: int, seconds: float, log: Path) -> Figures:
    """The peer's figures and ours, in turns.

    Raises:
        PeerError: the peer does not run, fails requests, or finds other boxes.
    """
    small, medium = photos.rendered(photos.SMALL), photos.rendered(photos.MEDIUM)
    taken: dict[tuple[str, str, str], list[Figures]] = {}
    with running(peer, python, log) as theirs:
        data = small[0].read_bytes()
        check_same(our_boxes(ours.url, data), answer(theirs.url, peer, data), peer.tolerance)
        before, sent = cpu_s(group(theirs.pid)), 0
        conditions = [("json", clients, "application/json", small) for clients in JSON_CLIENTS]
        conditions += [("png", clients, "image/png", medium) for clients in PNG_CLIENTS if peer.draws]
        for _ in range(rounds):
            for kind, clients, accept, paths in conditions:
                common: Figures = {"clients": clients, "seconds": seconds, "accept": accept, "warm_up": 2}
                figures = load.measure(theirs.url + peer.path, paths, **common, **peer.options())
                sent += figures["requests"] + 2
                if figures["errors"]:
                    raise PeerError(
                        f"{figures['errors']} of {figures['requests']} requests failed: {figures['statuses']}"
                    )
                taken.setdefault(("theirs", kind, str(clients)), []).append(figures)
                taken.setdefault(("ours", kind, str(clients)), []).append(ours.measure(paths, **common))
        members = group(theirs.pid)
        cpu_ms = (cpu_s(members) - before) * 1000 / sent
        memory_mb = memory_kib(members) * 1024 / 1e6
    by_kind: dict[str, Figures] = {"theirs": {}, "ours": {}}
    for (whose, kind, number), rows in taken.items():
        by_kind[whose].setdefault(kind, {})[number] = medians(rows)
    return {
        "json": by_kind["theirs"]["json"],
        "png": by_kind["theirs"].get("png"),
        "ours": {"json": by_kind["ours"]["json"], "png": by_kind["ours"].get("png")},
        "memory_mb": round(memory_mb, 1),
        "cpu_ms_per_request": round(cpu_ms, 2),
    }


def group(pid: int) -> list[int]:
    """The living processes of a session that was started with `start_new_session`."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, _, _, session, *_ = stat_fields(int(path.name))
            if int(session) == pid and state != "Z":
                found.append(int(path.name))
    return found


def version_of(python: Path, package: str) -> str:
    """The version of a package in an environment."""
    code = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True).stdout.strip()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a peer and all its processes: SIGTERM, then SIGKILL."""
    members = group(process.pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in {process.pid, *members, *group(process.pid)}:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)


def _last_lines(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace").strip()
    return re.sub(r"\s+", " ", " / ".join(text.splitlines()[-3:]))[:300]


@dataclass(slots=True)
class Report:
    """`peers.json`, written after every peer.

    Attributes:
        out: the file; None to write none.
        rows: see the module's docstring.
    """

    out: Path | None
    rows: list[Figures] = field(default_factory=list)

    def add(self, peer: Peer, version: str, figures: Figures) -> None:
        """Add a peer's figures, or `{"error": …}`."""
        row = {"peer": peer.title, "version": version, "configuration": peer.configuration}
        self.rows.append({**row, "quick_start": peer.how == "quick", "error": None, **figures})
        if self.out:
            self.out.write_text(json.dumps(self.rows, indent=1) + "\n", encoding="utf-8")


def main(given: list[str] | None = None) -> int:
    """Measure the peers; 0 even if some do not run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", action="append", choices=sorted({peer.name for peer in PEERS}))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of load for each condition in each round")
    parser.add_argument(
        "--logs", type=Path, default=ROOT / "build" / "benchmarks", help="folder for the output of the peers"
    )
    arguments = parser.parse_args(given)
    arguments.logs.mkdir(parents=True, exist_ok=True)
    report = Report(arguments.out)
    with serving() as ours:
        for peer in PEERS:
            if arguments.only and peer.name not in arguments.only:
                continue
            version = ""
            try:
                python = environment(peer.name)
                version = version_of(python, peer.package)
                log = arguments.logs / f"{peer.name}-{peer.how}.log"
                figures = measure(peer, python, ours, rounds=arguments.rounds, seconds=arguments.seconds, log=log)
            except (PeerError, OSError, urllib.error.URLError, subprocess.CalledProcessError) as error:
                figures = {"json": None, "png": None, "ours": None, "error": str(error)}
            report.add(peer, version, figures)
            shown = figures.get("error") or {
                clients: (round(item["throughput"], 1), round(figures["ours"]["json"][clients]["throughput"], 1))
                for clients, item in figures["json"].items()
            }
            print(f"{peer.title} {version} {peer.how}: {shown}", file=sys.stderr, flush=True)
    if not arguments.out:
        print(json.dumps(report.rows, indent=1))
    return 0
