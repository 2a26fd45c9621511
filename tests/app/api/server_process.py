"""A server process as the command starts it, and requests in flight to it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.app.api.live_server import wait_for
from tests.conftest import ROOT

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


PINNED = ("--runtime", "litert", "--precision", "float32")
"""So that answers do not depend on the machine's load at the start."""


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
        wait_for(lambda: "running on" in self.said or process.poll() is not None, seconds=60)
        (self.address,) = re.findall(r"http://127\.0\.0\.1:\d+", self.said)
        self.port = int(self.address.rpartition(":")[2])
        wait_for(lambda: httpx.get(f"{self.address}/health/ready").status_code == 200, seconds=60)

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
def running(store: Path, *flags: str, gate: Path | None = None, port: int = 0) -> Iterator[Server]:
    """A ready server with the stand-in detector. Photos wait for the file `gate`; meanwhile there is a file `begun`."""
    program = PROGRAM.format(tests=str(ROOT), gate=str(gate or __file__))
    with started("-c", program, "serve", "--model-store", str(store), *flags, port=port) as server:
        yield server


@contextmanager
def real(bundle: Any, store: Path, *flags: str) -> Iterator[Server]:
    """A ready server with the shipped detector on LiteRT."""
    shutil.copytree(bundle.path, store / bundle.name / str(bundle.version))
    with started("-m", "app", "serve", "--model-store", str(store), *PINNED, *flags) as server:
        yield server


@contextmanager
def started(*command: str, port: int = 0) -> Iterator[Server]:
    """A ready server on a port, or a free one, started by a Python command line."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CARIES_")}
    process = subprocess.Popen(
        [sys.executable, *command, "--port", str(port)],
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
