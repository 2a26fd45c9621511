"""The gateway and the server as processes, to be killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from app.peers import Destination
from tests.app.api.live_server import wait_for
from tests.conftest import ROOT


class Gateway:
    """`caries gateway run` with its queue in a folder; takes photos from CLINIC and ORTHANC.

    Attributes:
        port: for DICOM.
    """

    def __init__(self, folder: Path, server_port: int, to: Destination, port: int = 0) -> None:
        variables = {
            "CARIES_GATEWAY": str(folder / "queue"),
            "CARIES_GATEWAY_PORT": str(port),
            "CARIES_GATEWAY_PEERS": "CLINIC,ORTHANC",
            "CARIES_GATEWAY_ARCHIVES": str(to),
            "CARIES_GATEWAY_SERVER": f"http://127.0.0.1:{server_port}",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app", "gateway", "run"],
            cwd=ROOT,
            env={**os.environ, **variables},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        said = ""
        while not (found := re.search(r"listens on port (\d+)", said)):
            line = self._process.stderr.readline()
            assert line, said
            said += line
        self.port = int(found[1])

    def end(self, number: int = signal.SIGKILL) -> int:
        """Its exit status after a signal."""
        self._process.send_signal(number)
        status = self._process.wait(60)
        assert self._process.stderr is not None
        self._process.stderr.close()
        return status

    def resident_bytes(self) -> int:
        """Memory of the process."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        assert found
        return int(found[1]) * 1024


class Server:
    """`caries serve` with the shipped model on a port; ready once it is made."""

    def __init__(self, port: int) -> None:
        command = [sys.executable, "-m", "app", "serve", "--port", str(port), "--precision", "int8", "--workers", "1"]
        self._process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self._url = f"http://127.0.0.1:{port}/health/ready"
        wait_for(self._is_ready, seconds=120)

    def _is_ready(self) -> bool:
        assert self._process.poll() is None
        try:
            return httpx.get(self._url).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """By SIGKILL, unless it has ended."""
        self._process.kill()
        self._process.wait(60)
