"""A crash of a detector process behind a real server loses only its photo."""

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from app.detector.bundle import FLOAT32_MODEL, Bundle, write_manifest
from app.settings import Isolation, Precision, RuntimeKind, Settings
from benchmarks.process_tree import children
from tests.app.api.live_server import Live, serving, wait_for

pytestmark = pytest.mark.slow

Workers = Callable[[], list[int]]


def all_workers() -> list[int]:
    """Process ids of all workers of this process."""
    found = []
    for pid in children("self"):
        with contextlib.suppress(FileNotFoundError):  # it has ended meanwhile
            if b"app.detector.runtimes.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def state(pid: int) -> str:
    """`R` running, `S` asleep, `T` stopped, ..., see proc(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def isolated_settings(store: Path, *, workers: int) -> Settings:
    return Settings(
        model_store=store,
        runtime=RuntimeKind.LITERT,
        precision=Precision.FLOAT32,
        workers=workers,
        isolation=Isolation.PROCESS,
    )


@pytest.fixture
def workers() -> Workers:
    """A function that lists the process ids of the workers started by this test, in order."""
    others = set(all_workers())
    return lambda: sorted(set(all_workers()) - others)


@pytest.fixture
def isolated(shipped_bundle: Bundle, workers: Workers) -> Iterator[Live]:
    """A ready server with the shipped bundle and two worker processes."""
    with serving(isolated_settings(shipped_bundle.path.parents[1], workers=2)) as running:
        running.wait_until_ready()
        yield running
    assert workers() == []


def test_a_crash_fails_one_request(isolated: Live, workers: Workers, example_photos: list[Path]) -> None:
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
    wait_for(lambda: isolated.service.screener.admission.callers == 4 and 1 <= isolated.service.live.waiting <= 2)
    wait_for(lambda: all(worker.runtime.begun for worker in isolated.service.live.workers))
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


def test_not_ready_without_a_replacement_worker_until_a_reload(
    shipped_bundle: Bundle, workers: Workers, tmp_path: Path, example_photos: list[Path]
) -> None:
    photo = example_photos[0].read_bytes()
    bundle = shutil.copytree(shipped_bundle.path, tmp_path / shipped_bundle.name / str(shipped_bundle.version))
    model = (bundle / FLOAT32_MODEL).read_bytes()
    with serving(isolated_settings(tmp_path, workers=1)) as live:
        live.wait_until_ready()
        (bundle / FLOAT32_MODEL).write_bytes(model[: len(model) // 2])
        assert live.client.post("/detect", content=photo).status_code == 200
        os.kill(workers()[0], signal.SIGKILL)
        for answer in (live.client.post("/detect", content=photo), live.client.post("/models/reload")):
            assert answer.status_code in (503, 409)
        response = live.client.get("/health/ready")
        assert response.status_code == 503
        assert response.json()["type"] == "/problems/not-ready"
        assert live.metric("caries_ready") == 0
        assert live.client.get("/health/live").status_code == 200
        (bundle / FLOAT32_MODEL).write_bytes(model)
        assert live.client.post("/models/reload").status_code == 200
        assert live.client.get("/health/ready").status_code == 200
        assert live.client.post("/detect", content=photo).status_code == 200


def test_versions_change_under_load_with_the_real_detector(
    shipped_bundle: Bundle, workers: Workers, tmp_path: Path, example_photos: list[Path]
) -> None:
    photo = example_photos[0].read_bytes()
    for version in (1, 2):
        path = shutil.copytree(shipped_bundle.path, tmp_path / shipped_bundle.name / str(version))
        model = {"name": shipped_bundle.name, "version": version}
        write_manifest(path, {**shipped_bundle.manifest, "model": model})
    with serving(isolated_settings(tmp_path, workers=1)) as live:
        live.wait_until_ready()
        stop = threading.Event()
        seen: list[tuple[int, str]] = []

        def send() -> None:
            while not stop.is_set():
                answer = live.client.post("/detect", content=photo)
                seen.append((answer.status_code, answer.headers.get("x-caries-model", "")[-1:]))

        senders = [threading.Thread(target=send) for _ in range(2)]
        for sender in senders:
            sender.start()
        for version in (1, 2):
            assert live.client.post("/models/reload", json={"version": version}).status_code == 200
            sent = len(seen)
            wait_for(partial(lambda sent: len(seen) > sent + 3, sent))
        stop.set()
        for sender in senders:
            sender.join()
        assert set(seen) == {(200, "1"), (200, "2")}
        wait_for(lambda: len(workers()) == 1)
