"""Unexpected errors; a server process on SIGTERM and SIGHUP: readiness, requests in flight and new ones."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.process_tree import children
from tests.app.api.live_server import Live, StandIn, assert_problem, wait_for, write_bundle

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[4]

PROGRAM = """
import pathlib, sys, time
sys.path.insert(0, {tests!r})
from tests.app.api.live_server import StandIn
import app.api, app.cli

class Slow(StandIn):
    def detect(self, pixels):
        gate = pathlib.Path({gate!r})
        while pixels.any() and not gate.exists():  # the warm-up is black
            gate.with_name("begun").touch()
            time.sleep(0.01)
        return super().detect(pixels)

made = app.api.create_app
app.api.create_app = lambda settings, **options: made(settings, load=lambda *_, **__: Slow(), **options)
sys.exit(app.cli.main(sys.argv[1:]))
"""
"""The server as the command starts it, with a detector that finishes a photo once a file exists."""


class Server:
    """A server process.

    Attributes:
        said: what it logged so far.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        wait_for(lambda: "running on" in self.said or process.poll() is not None)
        (self.address,) = re.findall(r"http://127\.0\.0\.1:\d+", self.said)
        self.port = int(self.address.rpartition(":")[2])
        wait_for(lambda: httpx.get(f"{self.address}/health/ready").status_code == 200)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line

    def ends(self) -> int:
        """The exit status."""
        status = self.process.wait(30)
        self._reader.join(10)
        return status


@contextmanager
def running(store: Path, *flags: str, gate: Path | None = None) -> Iterator[Server]:
    """A ready server with the stand-in detector. Photos wait for the file `gate`; meanwhile there is a file `begun`."""
    program = PROGRAM.format(tests=str(ROOT), gate=str(gate or __file__))
    with started("-c", program, "serve", "--model-store", str(store), *flags) as server:
        yield server


@contextmanager
def real(bundle: Any, store: Path, *flags: str) -> Iterator[Server]:
    """A ready server with the shipped detector on LiteRT."""
    shutil.copytree(bundle.path, store / bundle.name / str(bundle.version))
    with started("-m", "app", "serve", "--model-store", str(store), "--runtime", "litert", *flags) as server:
        yield server


@contextmanager
def started(*command: str) -> Iterator[Server]:
    """A ready server on a free port, started by a Python command line."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CARIES_")}
    process = subprocess.Popen(
        [sys.executable, *command, "--port", "0"],
        cwd=ROOT,
        env=clean,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Server(process)
    finally:
        process.kill()
        process.wait()


class Sender:
    """A request in flight, in a thread."""

    def __init__(self, server: Server, photo: bytes) -> None:
        self.answer: Any = None
        self._thread = threading.Thread(target=self._send, args=(server, photo))
        self._thread.start()

    def _send(self, server: Server, photo: bytes) -> None:
        try:
            self.answer = httpx.post(f"{server.address}/detect", content=photo, timeout=30)
        except httpx.HTTPError as error:
            self.answer = error

    def result(self) -> Any:
        """The answer, or the error."""
        self._thread.join(40)
        return self.answer


def in_hand(server: Server) -> float:
    text = httpx.get(f"{server.address}/metrics").text
    return float(re.findall(r"^caries_queue_depth (\S+)", text, re.MULTILINE)[0])


def test_accepted_requests_are_answered_and_others_refused(tmp_path: Path, photo: bytes) -> None:
    write_bundle(tmp_path / "store")
    gate = tmp_path / "gate"
    with (
        running(tmp_path / "store", "--workers", "2", "--shutdown-s", "60", gate=gate) as server,
        httpx.Client(base_url=server.address, timeout=30) as idle,
    ):
        senders = [Sender(server, photo) for _ in range(5)]
        wait_for(lambda: in_hand(server) == 5)
        assert idle.get("/health/ready").status_code == 200
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "Shutting" in server.said or not listens(server))
        refused = idle.post("/detect", content=photo)
        assert refused.status_code == 503
        assert refused.json()["type"] == "/problems/shutting-down"
        assert refused.headers["connection"] == "close"
        assert "retry-after" in refused.headers
        gate.touch()
        answers = [sender.result() for sender in senders]
        assert [answer.status_code for answer in answers] == [200] * 5
        assert server.ends() == 0
        assert "Traceback" not in server.said


def test_readiness_turns_off_before_the_listener_closes(tmp_path: Path, photo: bytes) -> None:
    write_bundle(tmp_path)
    with running(tmp_path, "--drain-s", "5") as server:
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: httpx.get(f"{server.address}/health/ready").status_code == 503)
        assert httpx.get(f"{server.address}/health/live").status_code == 200
        taken = httpx.post(f"{server.address}/detect", content=photo)
        assert taken.status_code == 200
        assert taken.headers["connection"] == "close"
        assert time.monotonic() - started < 5
        assert server.ends() == 0
        assert time.monotonic() - started > 4.9


def test_a_request_that_takes_too_long_is_answered_503_and_recorded(tmp_path: Path, photo: bytes) -> None:
    write_bundle(tmp_path / "store")
    gate, audit = tmp_path / "gate", tmp_path / "audit"
    flags = ("--shutdown-s", "0.5", "--audit", str(audit), "--audit-fsync", "on")
    with running(tmp_path / "store", *flags, gate=gate) as server:
        sender = Sender(server, photo)
        wait_for(lambda: in_hand(server) == 1)
        server.process.send_signal(signal.SIGTERM)
        answer = sender.result()
        assert answer.status_code == 503
        assert answer.json()["type"] == "/problems/shutting-down"
        assert answer.headers["connection"] == "close"
        gate.touch()
        assert server.ends() == 0
        assert "Traceback" not in server.said
    (line,) = [line for path in audit.glob("audit-*") for line in path.read_text().splitlines()]
    assert (json.loads(line)["status"], json.loads(line)["problem"]) == (503, "shutting-down")


def test_a_hanging_detector_does_not_delay_the_end(shipped_bundle: Any, tmp_path: Path, photo: bytes) -> None:
    with real(shipped_bundle, tmp_path, "--shutdown-s", "0.5") as server:
        workers = children(server.process.pid)
        assert workers
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        sender = Sender(server, photo)
        wait_for(lambda: in_hand(server) == 1)
        server.process.send_signal(signal.SIGTERM)
        assert sender.result().json()["type"] == "/problems/shutting-down"
        assert server.ends() == 0
        for worker in workers:
            wait_for(lambda worker=worker: has_ended(worker))


def test_a_photo_arriving_during_shutdown_is_answered(tmp_path: Path, photo: bytes) -> None:
    write_bundle(tmp_path)
    with running(tmp_path) as server, socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(photo) + photo[:100])
        wait_for(lambda: in_hand(server) == 1)
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not listens(server))
        client.sendall(photo[100:])
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer.lower()
        assert server.ends() == 0


def test_sighup_reloads(tmp_path: Path, photo: bytes) -> None:
    write_bundle(tmp_path)
    with running(tmp_path) as server:
        spoilt = write_bundle(tmp_path, version=2)
        card = (spoilt / "MODEL_CARD.md").read_text()
        (spoilt / "MODEL_CARD.md").unlink()
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "reload refused" in server.said)
        assert httpx.post(f"{server.address}/detect", content=photo).headers["x-caries-model"] == "stand-in/1"
        (spoilt / "MODEL_CARD.md").write_text(card)
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "reloaded: stand-in 2" in server.said)
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "still live: stand-in 2" in server.said)
        assert httpx.post(f"{server.address}/detect", content=photo).headers["x-caries-model"] == "stand-in/2"


def test_workers_end_with_the_server(shipped_bundle: Any, tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with real(shipped_bundle, tmp_path / number.name) as server:
            workers = children(server.process.pid)
            assert workers
            server.process.send_signal(number)
            assert server.ends() == (0 if number == signal.SIGTERM else -signal.SIGKILL)
            for worker in workers:
                wait_for(lambda worker=worker: has_ended(worker))


def has_ended(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def listens(server: Server) -> bool:
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_failing_detector_gives_500_and_the_server_keeps_running(live: Live, stand_in: StandIn, photo: bytes) -> None:
    stand_in.failure = RuntimeError("/srv/secret")
    assert "secret" not in str(assert_problem(live.client.post("/detect", content=photo), 500, "internal-error"))
    stand_in.failure = None
    assert live.client.post("/detect", content=photo).status_code == 200
