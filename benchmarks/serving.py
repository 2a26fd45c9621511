"""Servers to measure: `caries serve` with the shipped settings, the int8 model and no rate limit."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import load
from benchmarks.process_tree import cpu_s, memory_kib, processes

ROOT = Path(__file__).parents[1]
MAX_START_S = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        port: on 127.0.0.1.
        pid: of its first process.
    """

    port: int
    pid: int

    @property
    def url(self) -> str:
        """Without a path."""
        return f"http://127.0.0.1:{self.port}"

    def measure(self, photos: Sequence[Path], *, path: str = "/detect", **options: Any) -> dict[str, Any]:
        """The figures of `benchmarks.load`, with `server_cpu_ms` per request and `memory_mb` of all processes."""
        before = cpu_s(processes(self.pid))
        figures = load.measure(self.url + path, photos, **options)
        # The warm-up is part of the CPU time, and of the requests here.
        sent = figures["requests"] + int(options.get("warm_up", 5))
        pids = processes(self.pid)
        figures["server_cpu_ms"] = round((cpu_s(pids) - before) * 1000 / sent, 2)
        figures["memory_mb"] = round(memory_kib(pids) * 1024 / 1e6, 1)
        return figures


@contextmanager
def serving(
    *flags: str, checkout: Path = ROOT, cores: set[int] | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A server that is ready.

    Args:
        flags: of `caries serve`, besides the usual ones.
        checkout: the repository to serve from.
        cores: the only cores it may use; all if None.
        settings: environment variables in place of the `CARIES_*` of this process.

    Raises:
        RuntimeError: it ended, or was not ready within `MAX_START_S`.
    """
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CARIES_")}
    command = [sys.executable, "-P", "-m", "app", "serve", "--port", str(port), "--requests-per-minute", "0"]
    command += ["--precision", "int8", "--log-level", "warning", *flags]
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or allowed)  # the server inherits it
    try:
        process = subprocess.Popen(
            command,
            cwd=checkout,
            env={**environment, **(settings or {}), "PYTHONPATH": str(checkout)},
            stderr=subprocess.DEVNULL,
        )
    finally:
        os.sched_setaffinity(0, allowed)
    try:
        server = Server(port, process.pid)
        wait_until_ready(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def wait_until_ready(server: Server, process: subprocess.Popen[bytes]) -> None:
    """Return when the readiness check passes.

    Raises:
        RuntimeError: the process ended, or was not ready within `MAX_START_S`.
    """
    deadline = time.monotonic() + MAX_START_S
    while True:
        try:
            urllib.request.urlopen(f"{server.url}/health/ready", timeout=5).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the server did not become ready") from None
            time.sleep(0.01)


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
