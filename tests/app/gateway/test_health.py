"""Why the gateway is not ready."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from app.gateway import run as module
from app.gateway.health import Health
from app.gateway.queue import MIN_FREE_BYTES, Queue
from app.gateway.receiver import Receiver
from app.gateway.screening import Server
from app.gateway.web import Web
from app.gateway.work import Work
from app.peers import parse_destination, parse_peer
from app.settings import Settings
from tests.app.api.live_server import wait_for
from tests.app.gateway.web_server import web_server


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    with closing(Queue(tmp_path)) as store:
        yield Work(store, Server(""), {}, give_up_s=1, keep_s=1)


def test_what_needs_the_operator(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    health, stop = Health(work), threading.Event()
    assert health.problem() == "the gateway starts"
    threads = [
        threading.Thread(target=stop.wait, name=f"delivery-SECRET@10.0.0.1:104-{n}", daemon=True) for n in range(2)
    ]
    for thread in threads:
        thread.start()
    health.threads = threads
    assert health.problem() == ""
    work.server_problem = "401: wrong key"
    assert health.problem() == "the server answers no photo: 401: wrong key"
    work.server_problem, work.audit_problem = "", "full"
    assert health.problem() == "the audit log cannot be written"
    work.audit_problem = ""
    for free, problem in ((MIN_FREE_BYTES, ""), (MIN_FREE_BYTES - 1, "the disk is almost full")):
        usage = shutil.disk_usage("/")._replace(free=free)
        with monkeypatch.context() as patched:
            patched.setattr(shutil, "disk_usage", lambda _, usage=usage: usage)
            assert health.problem() == problem

    def gone(_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", gone)
        assert health.problem() == "the queue cannot be used: OSError"
    stop.set()
    threads[0].join()
    assert health.problem() == "a thread has ended: delivery"
    threads[1].join()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_gateway_whose_thread_ends_or_whose_key_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE_PAUSE_S", 0.1)

    def exits(_: Work) -> bool:
        raise SystemExit

    with web_server(401, b'{"detail": "the key is wrong"}') as (url, _):
        given = Settings(
            gateway=tmp_path / "queue",
            gateway_port=0,
            gateway_web_port=0,
            gateway_peers=(parse_peer("CLINIC"),),
            gateway_archives=(parse_destination("ARCHIVE@127.0.0.1:1"),),
            gateway_server=url,
        )
        assert reason(given) == "the server answers no photo: 401: the key is wrong"
        monkeypatch.setattr(Work, "expire", exits)
        assert reason(given) == "a thread has ended: expiry"


def reason(settings: Settings) -> str:
    """What a running gateway says of itself, once it says anything."""
    stop, found = threading.Event(), list[str]()

    def ready(_: Receiver, web: Web | None) -> None:
        assert web is not None

        def is_said() -> bool:
            answer = httpx.get(f"http://127.0.0.1:{web.port}/health/ready")
            found.append(answer.json().get("reason", ""))
            return answer.status_code == 503

        try:
            wait_for(is_said)
        finally:
            stop.set()

    module.run(settings, stop, ready=ready)
    return found[-1]
