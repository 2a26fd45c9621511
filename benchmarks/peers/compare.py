"""Other servers with the same detector, each in turns with ours.

    python -m benchmarks.peers --out peers.json [--only NAME] [--seconds 3] [--rounds 5]

Every peer has an environment of its own under `.venv/peers`, made from its `requirements.txt` if it is not there. It is
started as its `server.py` says, in its best configuration and in that of its quick start, must find the same boxes, and
gets the load in turns with ours. One that cannot be installed, started or that finds other boxes is listed with the
error. How each is configured, and which sentence of its documentation says so: `README.md` here.

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
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import load, photos
from benchmarks.server import Server, memory_mb, server

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENTS = ROOT / ".venv" / "peers"
JSON_CLIENTS, PNG_CLIENTS = (1, 8, 32), (1, 8)
START_S = 120
SAME_BOX = 0.02
"""Corners as fractions of the photo: boxes that differ by less are the same."""

Figures = dict[str, Any]


class PeerError(Exception):
    """A peer cannot be measured, and why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One server in one configuration.

    Attributes:
        name: of its folder here.
        package: whose version is reported.
        title: as people call it.
        how: `best` or `quick`, as its `server.py` takes it.
        configuration: in words.
        path: that photos are posted to.
        body: how, see `benchmarks.load`.
        template: of a JSON body, `PHOTO` stands for the photo in base64.
        field: name of the form's field.
        draws: whether it answers PNG.
        tolerance: of boxes; another model rounds otherwise.
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
        """For `benchmarks.load`."""
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
    """The Python of a peer's environment, made if it is missing.

    Raises:
        PeerError: it cannot be made.
    """
    return make_environment(ENVIRONMENTS / name, HERE / name / "requirements.txt")


def make_environment(folder: Path, requirements: Path) -> Path:
    """The Python of the environment in this folder, made from exact requirements if it is missing.

    Raises:
        PeerError: it cannot be made.
    """
    python = folder / "bin" / "python"
    if (folder / ".installed").exists():
        return python
    print(f"{folder.name}: installing", file=sys.stderr, flush=True)
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)],
    ):
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise PeerError(f"cannot be installed: {done.stderr.strip()[-300:]}")
    (folder / ".installed").touch()
    return python


@contextmanager
def running(peer: Peer, python: Path, log: Path) -> Iterator[Server]:
    """The peer, when it has answered a photo.

    Raises:
        PeerError: it ended, or did not answer within `START_S`.
    """
    port = _free_port()
    command = [str(python), "-m", f"benchmarks.peers.{peer.name}.server", str(port), peer.how]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        found = Server(port, process.pid)
        deadline = time.monotonic() + START_S
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
        _end(process)


def answer(url: str, peer: Peer, data: bytes) -> list[list[float]]:
    """Boxes `[ymin, xmin, ymax, xmax, score]`, corners as fractions, that a server finds on one photo.

    Raises:
        OSError: no answer, or one of another status.
        ValueError: an answer without boxes.
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
    """The boxes in an answer, also where it is wrapped in the V2 protocol.

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
    """As `answer`, of our server."""
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
    """Every box of theirs is one of ours.

    Raises:
        PeerError: one is not, or there are none, or another number.
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
        PeerError: it does not run, or finds other boxes.
    """
    small, medium = photos.rendered(photos.SMALL), photos.rendered(photos.MEDIUM)
    taken: dict[tuple[str, str, str], list[Figures]] = {}
    with running(peer, python, log) as theirs:
        data = small[0].read_bytes()
        check_same(our_boxes(ours.url, data), answer(theirs.url, peer, data), peer.tolerance)
        before, sent = cpu_s_of_group(theirs.pid), 0
        conditions = [("json", clients, "application/json", small) for clients in JSON_CLIENTS]
        conditions += [("png", clients, "image/png", medium) for clients in PNG_CLIENTS if peer.draws]
        for _ in range(rounds):
            for kind, clients, accept, paths in conditions:
                common = {"clients": clients, "seconds": seconds, "accept": accept, "warm_up": 2}
                figures = load.measure(theirs.url + peer.path, paths, **common, **peer.options())
                sent += figures["requests"] + 2
                if figures["errors"]:
                    raise PeerError(
                        f"{figures['errors']} of {figures['requests']} requests failed: {figures['statuses']}"
                    )
                taken.setdefault(("theirs", kind, str(clients)), []).append(figures)
                taken.setdefault(("ours", kind, str(clients)), []).append(ours.under(paths, **common))
        cpu_ms = (cpu_s_of_group(theirs.pid) - before) * 1000 / sent
        memory = sum(memory_mb(pid) for pid in group(theirs.pid))
    by_kind: dict[str, Figures] = {"theirs": {}, "ours": {}}
    for (whose, kind, clients), figures in taken.items():
        by_kind[whose].setdefault(kind, {})[clients] = _median(figures)
    return {
        "json": by_kind["theirs"]["json"],
        "png": by_kind["theirs"].get("png"),
        "ours": {"json": by_kind["ours"]["json"], "png": by_kind["ours"].get("png")},
        "memory_mb": round(memory, 1),
        "cpu_ms_per_request": round(cpu_ms, 2),
    }


def group(pid: int) -> list[int]:
    """The living processes of a session that was started with `start_new_session`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == pid and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def cpu_s_of_group(pid: int) -> float:
    """CPU seconds of a session's processes so far."""
    total = 0.0
    for member in group(pid):
        try:
            total += _own_cpu_s(member)
        except OSError:
            continue
    return total


def _own_cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _median(figures: list[Figures]) -> Figures:
    numbers = [key for key, value in figures[0].items() if isinstance(value, int | float)]
    return {key: round(statistics.median(item[key] for item in figures), 3) for key in numbers}


def version_of(python: Path, package: str) -> str:
    """Of a package in an environment."""
    code = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True).stdout.strip()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the peer and whatever it started: first asked, then by force."""
    members = group(process.pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in {process.pid, *members, *group(process.pid)}:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue


def _last_lines(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace").strip()
    return re.sub(r"\s+", " ", " / ".join(text.splitlines()[-3:]))[:300]


@dataclass(slots=True)
class Report:
    """`peers.json`, written after every peer.

    Attributes:
        out: the file; None keeps it in memory.
        rows: see the module.
    """

    out: Path | None
    rows: list[Figures] = field(default_factory=list)

    def add(self, peer: Peer, version: str, figures: Figures) -> None:
        """A peer's figures, or `{"error": why there are none}`."""
        row = {"peer": peer.title, "version": version, "configuration": peer.configuration}
        self.rows.append({**row, "quick_start": peer.how == "quick", "error": None, **figures})
        if self.out:
            self.out.write_text(json.dumps(self.rows, indent=1) + "\n", encoding="utf-8")


def main(given: list[str] | None = None) -> int:
    """Measures the peers; 0 also where some do not run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", action="append", choices=sorted({peer.name for peer in PEERS}))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of load for each condition in each round")
    parser.add_argument("--logs", type=Path, default=ROOT / "build" / "benchmarks", help="folder of the peers' output")
    arguments = parser.parse_args(given)
    arguments.logs.mkdir(parents=True, exist_ok=True)
    report = Report(arguments.out)
    with server() as ours:
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
