"""A server process on SIGTERM and SIGHUP: readiness, requests in flight and new ones."""

import json
import os
import signal
import socket
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.process_tree import children
from tests.app.api.live_server import wait_for, write_bundle
from tests.app.api.server_process import Sender, has_ended, in_hand, listens, real, running

pytestmark = pytest.mark.slow


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
            wait_for(partial(has_ended, worker))


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
                wait_for(partial(has_ended, worker))
