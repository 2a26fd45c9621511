"""A runtime in a separate process: the same answers, and photos and engine when the process dies."""

import json
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from app.detector.bundle import FLOAT32_MODEL, INT8_MODEL, Bundle, read_bundle, write_manifest
from app.detector.detections import Detections
from app.detector.engine import Engine
from app.detector.photo_queue import Inference, Job
from app.detector.precision import PrecisionChooser
from app.detector.runtimes import messages, process
from app.detector.runtimes.load import load_runtime
from app.detector.runtimes.messages import MODEL
from app.detector.runtimes.process import WorkerProcess
from app.detector.worker_thread import MAX_STARTS
from app.errors import RuntimeUnavailable, WorkerDied
from app.photo.decoding import decode
from app.settings import Precision

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photo(example_photos) -> np.ndarray:
    return decode(example_photos[0].read_bytes()).pixels


@pytest.fixture
def made(shipped_bundle) -> list[WorkerProcess]:
    """The worker processes of `engine`, in the order of their starts."""
    return []


@pytest.fixture
def start_worker(shipped_bundle, made) -> Callable[[], WorkerProcess]:
    """Starts one more of `made`."""

    def start() -> WorkerProcess:
        made.append(WorkerProcess(shipped_bundle, "litert"))
        return made[-1]

    return start


@pytest.fixture
def engine(shipped_bundle, start_worker, made) -> Iterator[Engine]:
    """An engine of two worker processes."""

    running = Engine(shipped_bundle, start_worker, workers=2)
    running.start()
    yield running
    running.close()
    assert not any(worker.alive for worker in made)


def test_same_detections_as_in_the_thread(shipped_bundle, photo) -> None:
    worker = WorkerProcess(shipped_bundle, "litert", threads=2)
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


def test_same_error_for_an_unusable_bundle_as_in_the_thread(shipped_bundle, tmp_path) -> None:
    manifest = json.loads((shipped_bundle.path / "bundle.json").read_text())
    (tmp_path / "MODEL_CARD.md").write_text("nothing else")
    write_manifest(tmp_path, manifest)
    for load in (load_runtime, WorkerProcess):
        with pytest.raises(RuntimeUnavailable, match=r"has no model\.tflite"):
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


def test_a_worker_starts_only_with_the_verified_model(own_bundle, photo) -> None:
    before = load_runtime(own_bundle, "litert").detect(photo)
    (own_bundle.path / "MODEL_CARD.md").write_text("another")
    worker = WorkerProcess(own_bundle, "litert")
    assert (worker.detect(photo).scores == before.scores).all(), "it runs what was verified"
    worker.close()
    manifest = dict(own_bundle.manifest)
    shutil.copy(own_bundle.path / INT8_MODEL, own_bundle.path / FLOAT32_MODEL)
    for _ in range(2):
        with pytest.raises(RuntimeUnavailable, match=r"altered.*reload"):
            WorkerProcess(own_bundle, "litert")
        write_manifest(own_bundle.path, manifest)  # a whole bundle, and not the one that is live


def test_workers_of_a_bundle_share_its_model_in_immutable_memory(shipped_bundle, start_worker, photo) -> None:
    workers = [start_worker() for _ in range(2)]
    for worker in workers:
        worker.detect(photo)
    mapped = [
        [line.split() for line in Path(f"/proc/{worker.pid}/maps").read_text().splitlines() if MODEL in line]
        for worker in workers
    ]
    assert len({inode for lines in mapped for *_, inode, _, _ in lines}) == 1
    assert all(permissions == "r--s" for lines in mapped for _, permissions, *_ in lines)
    descriptors = [file for file in list(Path("/proc/self/fd").iterdir()) if file.is_symlink()]
    memories = [file for file in descriptors if MODEL in file.readlink().name]
    assert memories
    for memory in memories:
        with pytest.raises(PermissionError):
            memory.write_bytes(b"another")
    for worker in workers:
        of_model, resident = False, 0
        for line in Path(f"/proc/{worker.pid}/smaps").read_text().splitlines():
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                of_model = MODEL in line
            elif of_model and line.startswith("Rss:"):
                resident += int(line.split()[1]) * 1024
        assert resident < shipped_bundle.tflite(Precision.FLOAT32).stat().st_size / 4


@pytest.mark.parametrize("faster", ["float32", "int8"])
def test_the_first_worker_times_the_models_and_all_run_the_faster(shipped_bundle, photo, faster) -> None:
    times: list[dict[str, float]] = []

    class Chooser:
        chosen: str | None = None

        def choose(self, time: Callable[[], dict[str, float]]) -> str:
            if not times:
                times.append(time())
            return faster

    chooser = Chooser()
    here = load_runtime(shipped_bundle, "litert", precision=faster).detect(photo)
    in_thread = load_runtime(shipped_bundle, "litert", chooser=chooser)
    assert (in_thread.detect(photo).scores == here.scores).all()
    times.clear()
    for later in (None, None, faster):
        chooser.chosen = later
        with closing(WorkerProcess(shipped_bundle, "litert", chooser=chooser)) as worker:
            assert (worker.detect(photo).scores == here.scores).all()
            opened = [file for file in Path(f"/proc/{worker.pid}/fd").iterdir() if MODEL in str(file.readlink())]
            assert len({file.stat().st_ino for file in opened}) == 1, "the slower model stays in memory"
    assert len(times) == 1
    assert min(times[0].values()) > 0
    assert set(times[0]) == {"float32", "int8"}


def test_a_model_that_cannot_be_timed_is_named_by_its_file(own_bundle) -> None:
    (own_bundle.path / INT8_MODEL).write_bytes(b"no model")
    manifest = {key: value for key, value in own_bundle.manifest.items() if key not in ("files", "format_version")}
    write_manifest(own_bundle.path, manifest)
    bundle = read_bundle(own_bundle.path)
    chooser = PrecisionChooser(bundle, Precision.AUTO, litert=True)
    with pytest.raises(RuntimeUnavailable, match=rf"{own_bundle.path}/{INT8_MODEL} cannot be loaded"):
        WorkerProcess(bundle, "litert", chooser=chooser)
    assert chooser.chosen is None


def test_a_model_that_cannot_be_loaded_is_named_by_its_file(own_bundle) -> None:
    (own_bundle.path / FLOAT32_MODEL).write_bytes(b"no model")
    manifest = {key: value for key, value in own_bundle.manifest.items() if key not in ("files", "format_version")}
    write_manifest(own_bundle.path, manifest)
    with pytest.raises(RuntimeUnavailable, match=rf"{own_bundle.path}/{FLOAT32_MODEL} cannot be loaded"):
        WorkerProcess(read_bundle(own_bundle.path), "litert")


def test_a_worker_for_tensorflow_starts_only_with_the_verified_bundle(own_bundle, monkeypatch) -> None:
    monkeypatch.setattr(process, "may_be_tensorflow", lambda *_: True)
    worker = WorkerProcess(own_bundle, "litert")
    assert worker.name == "litert"
    worker.close()
    manifest = dict(own_bundle.manifest)
    (own_bundle.path / "MODEL_CARD.md").write_text("another")
    with pytest.raises(RuntimeUnavailable, match="altered"):
        WorkerProcess(own_bundle, "litert")
    write_manifest(own_bundle.path, manifest)
    with pytest.raises(RuntimeUnavailable, match="replaced while it was live"):
        WorkerProcess(own_bundle, "litert")


def test_worker_that_exits_is_noticed(shipped_bundle, photo, monkeypatch) -> None:
    with closing(WorkerProcess(shipped_bundle, "litert")) as worker:
        monkeypatch.setattr(process, "send", lambda to, _: messages.send(to, b"nonsense"))
        with pytest.raises(WorkerDied, match="exit status 1"):
            worker.detect(photo)


def test_a_dying_worker_fails_its_photo_alone(engine, made, photo) -> None:
    for worker in made:
        os.kill(worker.pid, signal.SIGSTOP)
    futures = [engine.submit(photo) for _ in range(4)]
    victim, other = made
    # A photo that is taken but not handed over yet would go back to the queue and be answered.
    while engine.waiting > 2 or not victim.begun:
        time.sleep(0.01)
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


@pytest.fixture
def one_worker(shipped_bundle, start_worker, made) -> Iterator[Engine]:
    """An engine of one worker process, which is stopped, with three photos: two in the worker's hands, one waiting."""

    running = Engine(shipped_bundle, start_worker)
    running.start()
    os.kill(made[0].pid, signal.SIGSTOP)
    yield running
    running.close()


def test_a_worker_has_the_next_photo_before_it_finishes_the_current_one(
    one_worker, made, photo, shipped_bundle
) -> None:
    others = [photo[::-1], photo[:, ::-1], photo[::-1, ::-1]]
    futures = [one_worker.submit(pixels) for pixels in (photo, *others)]
    # With the first, or as soon as it is done with that.
    wait_for(lambda: one_worker.waiting <= 3)
    os.kill(made[0].pid, signal.SIGCONT)
    runtime = load_runtime(shipped_bundle, "litert")
    for future, pixels in zip(futures, (photo, *others), strict=True):
        assert (future.result(30).detections.scores == runtime.detect(pixels).scores).all(), "in its turn"
        assert future.result().queue_ms >= 0
        assert future.result().inference_ms > 0
    assert len(made) == 1


def test_the_next_photo_of_a_dying_worker_goes_to_its_replacement(one_worker, made, photo) -> None:
    futures = submit_together(one_worker, photo, 3)
    wait_for(lambda: one_worker.waiting == 1)
    os.kill(made[0].pid, signal.SIGKILL)
    with pytest.raises(WorkerDied, match="SIGKILL"):
        futures[0].result(30)
    for future in futures[1:]:
        assert len(future.result(30).detections) > 0
    assert len(made) == 2


def submit_together(engine: Engine, photo: np.ndarray, count: int) -> list[Future[Inference]]:
    """So that all of them are there when the worker's thread takes the first."""
    jobs = [Job(photo, False) for _ in range(count)]
    engine.queue.put(*jobs)
    return [job.future for job in jobs]


def test_a_closed_engine_answers_the_photos_in_its_workers_hands(one_worker, made, photo) -> None:
    futures = submit_together(one_worker, photo, 3)
    wait_for(lambda: one_worker.waiting == 1)
    end = threading.Thread(target=one_worker.close)
    end.start()
    with pytest.raises(RuntimeUnavailable, match="shutting down"):
        futures[2].result(30)
    os.kill(made[0].pid, signal.SIGCONT)
    for future in futures[:2]:
        assert len(future.result(30).detections) > 0
    end.join(30)
    assert not made[0].alive


def test_every_photo_is_answered_if_a_worker_dies_while_its_engine_closes(one_worker, made, photo) -> None:
    futures = submit_together(one_worker, photo, 2)
    wait_for(lambda: one_worker.waiting == 0)
    end = threading.Thread(target=one_worker.close)
    end.start()
    wait_for(lambda: not one_worker.queue.is_open)
    os.kill(made[0].pid, signal.SIGKILL)
    for future in futures:
        assert isinstance(future.exception(30), WorkerDied | RuntimeUnavailable)
    end.join(30)


def test_the_death_of_an_idle_worker_fails_no_photo(engine, made, photo) -> None:
    for worker in list(made):
        os.kill(worker.pid, signal.SIGKILL)
        wait_for(lambda worker=worker: not worker.alive)
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
    assert len(attempts) == MAX_STARTS == 5
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


@pytest.fixture
def replaceable(shipped_bundle, made, monkeypatch) -> Iterator[tuple[Engine, threading.Event]]:
    """An engine of one worker process, and an event without which no process can be started."""
    possible = threading.Event()
    possible.set()

    def load() -> WorkerProcess:
        if not possible.is_set():
            raise RuntimeUnavailable("the file is gone")
        made.append(WorkerProcess(shipped_bundle, "litert"))
        return made[-1]

    monkeypatch.setattr("app.detector.worker_thread.RETRY_S", 0.2)
    running = Engine(shipped_bundle, load)
    running.start()
    yield running, possible
    running.close()


def wait_for(condition) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_a_worker_that_died_idle_is_replaced_before_a_photo_comes(replaceable, made) -> None:
    engine, _ = replaceable
    os.kill(made[0].pid, signal.SIGKILL)
    wait_for(lambda: not engine.ready)
    wait_for(lambda: engine.ready)
    assert len(made) == 2


def test_an_engine_whose_worker_cannot_be_replaced_recovers_by_itself(replaceable, made, photo) -> None:
    engine, possible = replaceable
    possible.clear()
    os.kill(made[0].pid, signal.SIGKILL)
    wait_for(lambda: engine.workers[0].stuck)
    assert not engine.ready
    with pytest.raises(RuntimeUnavailable):
        engine.submit(photo)
    possible.set()
    wait_for(lambda: engine.ready)
    assert len(engine.submit(photo).result(30).detections) > 0


def test_a_worker_that_cannot_be_replaced_leaves_the_others_at_work(shipped_bundle, made, photo, monkeypatch) -> None:
    possible = threading.Event()

    def load() -> WorkerProcess:
        if len(made) >= 2 and not possible.is_set():
            raise RuntimeUnavailable("the file is gone")
        made.append(WorkerProcess(shipped_bundle, "litert"))
        return made[-1]

    monkeypatch.setattr("app.detector.worker_thread.RETRY_S", 0.2)
    engine = Engine(shipped_bundle, load, workers=2)
    engine.start()
    os.kill(made[0].pid, signal.SIGKILL)
    wait_for(lambda: any(worker.stuck for worker in engine.workers))
    assert engine.ready
    for future in [engine.submit(photo) for _ in range(6)]:
        assert len(future.result(30).detections) > 0
    possible.set()
    wait_for(lambda: len(made) == 3 and not any(worker.stuck for worker in engine.workers))
    engine.close()


def test_an_engine_closes_quickly_while_a_worker_cannot_be_replaced(replaceable, made, monkeypatch) -> None:
    monkeypatch.setattr("app.detector.worker_thread.RETRY_S", 60)
    engine, possible = replaceable
    possible.clear()
    os.kill(made[0].pid, signal.SIGKILL)
    wait_for(lambda: engine.workers[0].stuck)
    started = time.monotonic()
    engine.close()
    assert time.monotonic() - started < 5


def test_a_worker_that_hangs_is_replaced(shipped_bundle, start_worker, made, photo, monkeypatch) -> None:
    monkeypatch.setattr(process, "HANG_S", 0.5)

    engine = Engine(shipped_bundle, start_worker)
    engine.start()
    os.kill(made[0].pid, signal.SIGSTOP)
    with pytest.raises(WorkerDied, match=r"no answer within 0\.5 s"):
        engine.submit(photo).result(30)
    monkeypatch.setattr(process, "HANG_S", 120)
    assert len(engine.submit(photo).result(30).detections) > 0
    assert not made[0].alive
    engine.close()


def test_close_kills_a_worker_that_hangs(shipped_bundle, start_worker, made, photo, monkeypatch) -> None:
    monkeypatch.setattr("app.detector.engine.CLOSE_S", 0.3)
    engine = Engine(shipped_bundle, start_worker)
    engine.start()
    os.kill(made[0].pid, signal.SIGSTOP)
    running = engine.submit(photo)
    wait_for(lambda: engine.waiting == 0)
    started = time.monotonic()
    engine.close()
    assert 0.3 <= time.monotonic() - started < 5
    with pytest.raises(WorkerDied, match="SIGKILL"):
        running.result(0)


def test_workers_that_detect_alone_with_other_threads_say_so(shipped_bundle) -> None:
    for alone_threads in (None, 1, 2):
        with closing(WorkerProcess(shipped_bundle, "litert", threads=1, alone_threads=alone_threads)) as worker:
            assert worker.detects_alone == (alone_threads == 2)


class FailsWarmUp(WorkerProcess):
    """A worker whose runtime fails."""

    def detect(self, pixels: np.ndarray) -> Detections:
        """Fails."""
        raise ValueError("unlucky")


def test_no_process_remains_if_the_warm_up_fails(shipped_bundle) -> None:
    made: list[WorkerProcess] = []

    def load() -> WorkerProcess:
        made.append(FailsWarmUp(shipped_bundle, "litert"))
        return made[-1]

    with pytest.raises(ValueError, match="unlucky"):
        Engine(shipped_bundle, load).start()
    assert not made[0].alive
