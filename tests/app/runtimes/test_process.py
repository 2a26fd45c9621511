"""A runtime in a process of its own: the same answers, and what becomes of photos and engine when the process dies."""

import contextlib
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing import Pipe

import numpy as np
import pytest

from app.bundle import FLOAT32_MODEL, Bundle, read_bundle, write_manifest
from app.detections import Detections
from app.engine import STARTS, Engine
from app.errors import RuntimeUnavailable, WorkerDied
from app.images import decode
from app.runtimes import load_in_process, load_runtime, process
from app.runtimes.process import WorkerProcess


@pytest.fixture(scope="module")
def photo(example_photos) -> np.ndarray:
    return decode(example_photos[0].read_bytes()).pixels


@pytest.fixture
def made(shipped_bundle) -> list[WorkerProcess]:
    """The worker processes of `engine`, in the order of their starts."""
    return []


@pytest.fixture
def engine(shipped_bundle, made) -> Iterator[Engine]:
    """An engine of two worker processes."""

    def load() -> WorkerProcess:
        made.append(WorkerProcess(shipped_bundle, "litert"))
        return made[-1]

    running = Engine(shipped_bundle, load, workers=2)
    running.start()
    yield running
    running.close()
    assert not any(worker.alive for worker in made)


def test_same_answer_as_in_the_thread(shipped_bundle, photo) -> None:
    worker = load_in_process(shipped_bundle, "litert", threads=2)
    try:
        assert (worker.name, worker.device) == ("litert", "cpu")
        for pixels in (photo, photo[:100, :50], photo[::-1]):
            there = worker.detect(pixels)
            here = load_runtime(shipped_bundle, "litert", threads=2).detect(pixels)
            assert len(there) > 0
            assert (there.boxes == here.boxes).all()
            assert (there.scores == here.scores).all()
            assert (there.class_ids == here.class_ids).all()
    finally:
        worker.close()
        worker.close()
    assert not worker.alive


def test_bundle_that_cannot_be_run_is_said_as_in_the_thread(shipped_bundle, tmp_path) -> None:
    manifest = json.loads((shipped_bundle.path / "bundle.json").read_text())
    (tmp_path / "MODEL_CARD.md").write_text("nothing else")
    write_manifest(tmp_path, manifest)
    for load in (load_runtime, load_in_process):
        with pytest.raises(RuntimeUnavailable, match=r"holds no model\.tflite"):
            load(read_bundle(tmp_path), "litert")


@pytest.fixture
def own_bundle(shipped_bundle, tmp_path) -> Bundle:
    """A copy of the bundle, to be altered while it is live."""
    return read_bundle(shutil.copytree(shipped_bundle.path, tmp_path / "bundle"))


def test_copying_over_the_model_does_not_reach_a_worker(own_bundle, photo) -> None:
    worker = WorkerProcess(own_bundle, "litert")
    try:
        before = worker.detect(photo)
        (own_bundle.path / FLOAT32_MODEL).open("wb").close()
        assert (worker.detect(photo).scores == before.scores).all()
    finally:
        worker.close()


def test_a_worker_starts_on_no_other_files_than_were_verified(own_bundle) -> None:
    manifest = dict(own_bundle.manifest)
    (own_bundle.path / "MODEL_CARD.md").write_text("another")
    with pytest.raises(RuntimeUnavailable, match="altered"):
        WorkerProcess(own_bundle, "litert")
    write_manifest(own_bundle.path, manifest)
    with pytest.raises(RuntimeUnavailable, match="replaced while it was live"):
        WorkerProcess(own_bundle, "litert")


def test_worker_that_exits_is_noticed(shipped_bundle, photo) -> None:
    worker = WorkerProcess(shipped_bundle, "litert")
    try:
        worker._height = 1  # sends too few samples, which only a mistake of ours could
        with pytest.raises(WorkerDied, match="exit status 1"):
            worker.detect(photo)
    finally:
        worker.close()


def test_a_dying_worker_fails_its_photo_alone(engine, made, photo) -> None:
    for worker in made:
        os.kill(worker.pid, signal.SIGSTOP)
    futures = [engine.submit(photo) for _ in range(4)]
    while engine.waiting > 2:
        time.sleep(0.01)
    victim, other = made
    os.kill(victim.pid, signal.SIGSEGV)
    for worker in (victim, other):
        os.kill(worker.pid, signal.SIGCONT)
    errors = [future.exception(30) for future in futures]
    assert sorted(str(error) for error in errors if error) == [
        "the detector's process died (SIGSEGV) and is being replaced; try again shortly"
    ]
    assert isinstance(next(filter(None, errors)), WorkerDied)
    while len(made) < 3:
        time.sleep(0.01)
    assert other.alive
    assert len(engine.submit(photo).result(30).detections) > 0
    assert engine.ready


def test_a_worker_that_died_idle_costs_no_answer(engine, made, photo) -> None:
    for worker in list(made):
        os.kill(worker.pid, signal.SIGKILL)
        worker._process.wait()
    for future in [engine.submit(photo) for _ in range(4)]:
        assert len(future.result(30).detections) > 0


def test_worker_leaves_signals_to_the_server(shipped_bundle, photo) -> None:
    worker = WorkerProcess(shipped_bundle, "litert")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(worker.pid, number)
    assert len(worker.detect(photo)) > 0
    worker.close()


def test_engine_gives_up_on_a_worker_that_dies_at_every_start(shipped_bundle) -> None:
    attempts = []

    def load() -> WorkerProcess:
        attempts.append(1)
        raise WorkerDied("died")

    engine = Engine(shipped_bundle, load)
    with pytest.raises(RuntimeUnavailable, match="5 times"):
        engine.start()
    assert len(attempts) == STARTS == 5
    assert not engine.ready


def test_engine_is_not_ready_when_the_replacement_dies_at_every_start(shipped_bundle, photo) -> None:
    broken = threading.Event()
    made: list[WorkerProcess] = []

    def load() -> WorkerProcess:
        if broken.is_set():
            raise WorkerDied("died")
        made.append(WorkerProcess(shipped_bundle, "litert"))
        return made[-1]

    engine = Engine(shipped_bundle, load)
    engine.start()
    broken.set()
    os.kill(made[0].pid, signal.SIGSTOP)
    running, waiting = engine.submit(photo), engine.submit(photo)
    while engine.waiting > 1:
        time.sleep(0.01)
    os.kill(made[0].pid, signal.SIGKILL)
    with pytest.raises(WorkerDied, match="SIGKILL"):
        running.result(30)
    with pytest.raises(RuntimeUnavailable, match="log"):
        waiting.result(30)
    assert not engine.ready
    with pytest.raises(RuntimeUnavailable):
        engine.submit(photo)
    engine.close()


class FailsWarmUp(WorkerProcess):
    """A worker whose runtime fails."""

    def detect(self, pixels: np.ndarray) -> Detections:
        """Fails."""
        raise ValueError("unlucky")


def test_no_process_is_left_where_the_warm_up_fails(shipped_bundle) -> None:
    made: list[WorkerProcess] = []

    def load() -> WorkerProcess:
        made.append(FailsWarmUp(shipped_bundle, "litert"))
        return made[-1]

    with pytest.raises(ValueError, match="unlucky"):
        Engine(shipped_bundle, load).start()
    assert not made[0].alive


def test_a_photo_that_the_runtime_fails_on_does_not_end_the_worker(shipped_bundle, monkeypatch) -> None:
    class Unlucky:
        name, device = "litert", "cpu"

        def detect(self, pixels: np.ndarray) -> Detections:
            """Fails on dark photos."""
            if not pixels.any():
                raise ValueError("too dark")
            return Detections.empty()

    monkeypatch.setattr(process, "load_runtime", lambda *_, **__: Unlucky())
    ours, theirs = Pipe()

    def serve() -> None:
        with contextlib.suppress(EOFError):
            process._serve(theirs)

    worker = threading.Thread(target=serve)
    worker.start()
    order = {"path": str(shipped_bundle.path), "sha256": shipped_bundle.sha256}
    order |= {"kind": "litert", "precision": "float32", "threads": 1}
    ours.send_bytes(json.dumps(order).encode())
    assert json.loads(ours.recv_bytes()) == {"name": "litert", "device": "cpu"}
    photo = np.zeros((shipped_bundle.input_height, shipped_bundle.input_width, 3), np.uint8)
    for value, answer in ((0, b"\1ValueError: too dark"), (9, b"\0"), (0, b"\1ValueError: too dark")):
        ours.send_bytes((photo + np.uint8(value)).reshape(-1).data)
        assert ours.recv_bytes() == answer
    ours.close()
    worker.join(5)
    assert not worker.is_alive()
