"""Two servers behind HAProxy, as shipped: one is ended, killed and updated under load."""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from app.settings import Settings
from tests.app.api.live_server import make_photo, wait_for, write_bundle
from tests.app.api.server_process import Server, running
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

FOLDER = ROOT / "deploy" / "haproxy"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
DRAIN_S = float(COMPOSE["services"]["replica-1"]["environment"]["CARIES_DRAIN_S"])
FLAGS = ("--drain-s", str(DRAIN_S), "--requests-per-minute", "0")
CLIENTS = 3


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def balancer(port: int, replicas: list[int]) -> Iterator[str]:
    """The address of HAProxy with the shipped configuration, once it has seen that the servers are ready."""
    if shutil.which("haproxy") is None:
        pytest.skip("HAProxy is not installed")
    variables = {"CARIES_HAPROXY": str(FOLDER), "CARIES_BIND": f"127.0.0.1:{port}"}
    variables |= {f"CARIES_REPLICA_{number}": f"127.0.0.1:{port}" for number, port in enumerate(replicas, 1)}
    process = subprocess.Popen(["haproxy", "-db", "-f", str(FOLDER / "haproxy.cfg")], env={**os.environ, **variables})
    address = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        try:
            return httpx.get(f"{address}/health/ready").status_code == 200
        except httpx.HTTPError:
            return False

    try:
        wait_for(is_ready)
        yield address
    finally:
        process.kill()
        process.wait()


class Load:
    """Clients that send photos one after the other, until the block ends.

    Attributes:
        statuses: how often each was answered; 0 for an answer that was cut off, -1 for none.
        models: versions that answered.
        refused: the content of the last answer that is not 200.
    """

    def __init__(self, address: str) -> None:
        self.statuses: Counter[int] = Counter()
        self.models: Counter[str] = Counter()
        self.refused: dict[str, Any] = {}
        self._address, self._done = address, threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(CLIENTS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def wait_for_answers(self, more: int) -> None:
        """Wait until so many more photos are answered."""
        end = self.statuses[200] + more
        wait_for(lambda: self.statuses[200] >= end, 60)

    def _send(self) -> None:
        photo = make_photo(640, 480)
        with httpx.Client(timeout=30) as client:
            while not self._done.is_set():
                try:
                    answer = client.post(f"{self._address}/detect?format=json", content=photo)
                except httpx.RemoteProtocolError as error:
                    self.statuses[0 if "complete message body" in str(error) else -1] += 1
                    continue
                self.statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    self.models[str(answer.json()["model"]["version"])] += 1
                else:
                    self.refused = answer.json()


@pytest.fixture
def ports() -> list[int]:
    return [free_port(), free_port()]


def test_ending_one_server_loses_no_photo(tmp_path: Path, ports: list[int]) -> None:
    write_bundle(tmp_path)
    with ExitStack() as stack:
        first, _ = (stack.enter_context(running(tmp_path, *FLAGS, port=port)) for port in ports)
        address = stack.enter_context(balancer(free_port(), ports))
        with Load(address) as load:
            load.wait_for_answers(20)
            first.process.send_signal(signal.SIGTERM)
            assert first.ends() == 0
            load.wait_for_answers(20)
        assert set(load.statuses) == {200}


def test_killing_one_server_loses_at_most_the_photos_in_its_hands(tmp_path: Path, ports: list[int]) -> None:
    write_bundle(tmp_path)
    with ExitStack() as stack:
        first, _ = (stack.enter_context(running(tmp_path, *FLAGS, port=port)) for port in ports)
        address = stack.enter_context(balancer(free_port(), ports))
        with Load(address) as load:
            load.wait_for_answers(20)
            first.process.kill()
            load.wait_for_answers(40)
        assert set(load.statuses) <= {200, 503, 0}
        assert load.statuses[503] + load.statuses[0] <= CLIENTS
        if load.refused:
            assert load.refused["type"] == "/problems/overloaded"
        stack.enter_context(running(tmp_path, *FLAGS, port=ports[0]))
        with Load(address) as load:
            load.wait_for_answers(20)
        assert set(load.statuses) == {200}


def test_another_bundle_goes_live_on_both_without_a_failed_request(tmp_path: Path, ports: list[int]) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    write_bundle(old)
    write_bundle(new, version=2)
    with ExitStack() as stack:
        servers = [stack.enter_context(running(old, *FLAGS, port=port)) for port in ports]
        address = stack.enter_context(balancer(free_port(), ports))
        with Load(address) as load:
            load.wait_for_answers(10)
            for server, port in zip(servers, ports, strict=True):
                server.process.send_signal(signal.SIGTERM)
                assert server.ends() == 0
                stack.enter_context(running(new, *FLAGS, port=port))
                time.sleep(2)  # for the balancer to see it
            load.models.clear()
            load.wait_for_answers(20)
        assert set(load.statuses) == {200}
        assert set(load.models) == {"2"}


def test_without_any_server_the_answer_is_a_problem(tmp_path: Path, ports: list[int]) -> None:
    write_bundle(tmp_path)
    with ExitStack() as stack:
        server: Server = stack.enter_context(running(tmp_path, *FLAGS, port=ports[0]))
        address = stack.enter_context(balancer(free_port(), ports))
        server.process.kill()
        server.process.wait()
        answer = httpx.post(f"{address}/detect", content=b"x", timeout=30)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == 503
        assert answer.json()["error"], "for clients of /v2"


def test_readiness_is_seen_off_before_photos_are_refused() -> None:
    text = (FOLDER / "haproxy.cfg").read_text(encoding="utf-8")
    (check_ms,) = map(int, re.findall(r"inter (\d+)ms fall 1 ", text))
    assert 2 * check_ms / 1000 < DRAIN_S
    for name in ("replica-1", "replica-2"):
        service = COMPOSE["services"][name]
        assert float(service["environment"]["CARIES_DRAIN_S"]) == DRAIN_S
        grace_s = float(service["stop_grace_period"].removesuffix("s"))
        assert grace_s >= DRAIN_S + Settings().shutdown_s + 10
        assert service["environment"]["CARIES_PRECISION"] != "auto"
    audits = {COMPOSE["services"][name]["environment"]["CARIES_AUDIT"] for name in ("replica-1", "replica-2", "caries")}
    assert len(audits) == 3, "one chain for each server"


def test_a_photo_that_was_sent_is_never_sent_again() -> None:
    text = (FOLDER / "haproxy.cfg").read_text(encoding="utf-8")
    assert re.findall(r"retry-on (.*)", text) == ["conn-failure"]
