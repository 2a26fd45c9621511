"""Two servers behind HAProxy, as shipped: one is ended, killed and updated under load."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from app.settings import Settings
from tests.app.api.live_server import wait_for, write_bundle
from tests.app.api.server_process import Server, running
from tests.conftest import ROOT
from tests.deploy.load import CLIENTS, Load

pytestmark = pytest.mark.slow

FOLDER = ROOT / "deploy" / "haproxy"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
DRAIN_S = float(COMPOSE["services"]["replica-1"]["environment"]["CARIES_DRAIN_S"])
FLAGS = ("--drain-s", str(DRAIN_S), "--requests-per-minute", "0")


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
    (answer_s,) = map(int, re.findall(r"timeout check (\d+)s", text))
    assert 2 * check_ms / 1000 + answer_s < DRAIN_S
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
