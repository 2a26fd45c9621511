"""A detector's process that crashes behind a real server: its photo alone is lost."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from live_server import Live, serving, wait_for

from app.bundle import Bundle
from app.settings import Settings


def workers() -> list[int]:
    """Process ids of the workers of this process."""
    children = [
        int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()
    ]
    return sorted(pid for pid in children if b"app.runtimes.process" in Path(f"/proc/{pid}/cmdline").read_bytes())


def state(pid: int) -> str:
    """`R` running, `S` asleep, `T` stopped, ..., see proc(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
def isolated(shipped_bundle: Bundle) -> Iterator[Live]:
    """A ready server on the committed bundle, with two workers in processes of their own."""
    settings = Settings(model_store=shipped_bundle.path.parents[1], runtime="litert", workers=2, isolation="process")
    with serving(settings) as running:
        running.wait_until_ready()
        yield running
    assert workers() == []


def test_a_crash_costs_one_request(isolated: Live, example_photos: list[Path]) -> None:
    photo = example_photos[0].read_bytes()
    before = workers()
    assert len(before) == 2
    for pid in before:
        os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: all(state(pid) == "T" for pid in before))
    answers: list[httpx.Response] = []
    senders = [
        threading.Thread(target=lambda: answers.append(isolated.client.post("/detect", content=photo)))
        for _ in range(4)
    ]
    for sender in senders:
        sender.start()
    wait_for(lambda: isolated.service.screener.admitted == 4 and isolated.service.live.waiting == 2)
    os.kill(before[0], signal.SIGSEGV)
    for pid in before:
        os.kill(pid, signal.SIGCONT)
    for sender in senders:
        sender.join()
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 503]
    (lost,) = (answer for answer in answers if answer.status_code == 503)
    assert lost.json()["type"] == "/problems/worker-died"
    assert "SIGSEGV" in lost.json()["detail"]
    assert lost.headers["retry-after"] == "1"
    assert isolated.client.post("/detect", content=photo).status_code == 200
    assert isolated.client.get("/health/ready").status_code == 200
    wait_for(lambda: len(workers()) == 2)
    assert before[1] in workers()
    assert before[0] not in workers()
    assert isolated.metric("caries_problems_total", type="worker-died") == 1
