"""Models and versions are replaced and refused, over real HTTP and under load."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.errors import RuntimeUnavailable
from app.settings import ModelChoice, Settings
from tests.app.api.live_server import (
    JSON,
    POINTS,
    Live,
    StandIn,
    Start,
    answered_by,
    assert_problem,
    live_models,
    serving,
    wait_for,
    write_bundle,
)


def rewrite(path: Path, **changes: Any) -> None:
    """Change a bundle's manifest, but not the files it lists."""
    manifest = json.loads((path / "bundle.json").read_text())
    (path / "bundle.json").write_text(json.dumps({**manifest, **changes}))


def test_another_model_becomes_the_default(start: Start, tmp_path: Path, photo: bytes) -> None:
    with start() as live:
        write_bundle(tmp_path, name="aaa")
        assert live.client.post("/models/reload").json()["live"][0]["name"] == "stand-in"
        live.client.post("/models/reload", json={"model": "aaa"})
        assert answered_by(live, photo) == ("aaa", 1)
        assert live_models(live) == [("aaa", 1, True)]
        assert live.client.post("/detect?model=stand-in", content=photo).status_code == 404


def test_a_bundle_without_the_settings_operating_point_is_refused(start: Start, tmp_path: Path, photo: bytes) -> None:
    write_bundle(tmp_path, version=2, operating_points=POINTS)
    with start(operating_point="specific") as live:
        assert live.client.post("/detect", content=photo).headers["x-caries-operating-point"] == "specific"
        refused = assert_problem(live.client.post("/models/reload", json={"version": 1}), 409, "reload-refused")
        assert "CARIES_OPERATING_POINT cannot be applied: the operating point 'specific'" in refused["detail"]
        assert "those of stand-in 1 are: none; live: stand-in 2" in refused["detail"]
        assert answered_by(live, photo) == ("stand-in", 2)


def test_an_unknown_operating_point_in_the_settings_fails_at_the_start(tmp_path: Path, stand_in: StandIn) -> None:
    write_bundle(tmp_path, operating_points=POINTS)
    failed = threading.Event()
    settings = Settings(model_store=tmp_path, operating_point="keen")
    with serving(settings, load=lambda *_, **__: stand_in, on_failure=failed.set):
        assert failed.wait(10)


def test_a_request_for_a_gone_model_learns_which_one_replaced_it(start: Start, tmp_path: Path, photo: bytes) -> None:
    write_bundle(tmp_path, version=2, replaces=["old"])
    with start() as live:
        for answer in (
            live.client.post("/detect?model=old", content=photo),
            live.client.post("/detect/batch?model=old", files={"files": photo}),
            live.client.post("/models/reload", json={"model": "old"}),
            live.client.get("/models/old/card"),
        ):
            assert "; stand-in replaced it" in assert_problem(answer, 404, "unknown-model")["detail"]
        unknown = live.client.post("/detect?model=other", content=photo)
        assert "replaced it" not in assert_problem(unknown, 404, "unknown-model")["detail"]
        write_bundle(tmp_path, version=3, replaces=["other"])
        live.client.post("/models/reload")
        assert "; stand-in replaced it" in live.client.post("/detect?model=other", content=photo).json()["detail"]


@pytest.mark.parametrize("version", [None, 2])
def test_a_reload_without_a_name_restores_the_settings_models(
    start: Start, tmp_path: Path, photo: bytes, version: int | None
) -> None:
    write_bundle(tmp_path, version=2)
    write_bundle(tmp_path, name="third")
    with start(model_version=version) as live:
        write_bundle(tmp_path, name="aaa")
        for name in ("third", "aaa"):
            live.client.post("/models/reload", json={"model": name})
            assert live_models(live) == [(name, 1, True)]
            answer = live.client.post("/models/reload")
            assert answer.status_code == 200
            assert live_models(live) == [("stand-in", 2, True)]
        assert answered_by(live, photo) == ("stand-in", 2)


def truncate(path: Path) -> str:
    (path / "MODEL_CARD.md").write_text("#")
    return "MODEL_CARD.md was altered"


def remove_a_file(path: Path) -> str:
    (path / "MODEL_CARD.md").unlink()
    return "MODEL_CARD.md is listed in bundle.json and missing"


def add_a_file(path: Path) -> str:
    (path / ".model.tflite.partial").write_bytes(b"x")
    return "is not listed"


def cut_the_manifest(path: Path) -> str:
    text = (path / "bundle.json").read_text()
    (path / "bundle.json").write_text(text[: len(text) // 2])
    return "is not JSON"


def screen_for_another_class(path: Path) -> str:
    rewrite(path, screened_class="normal")
    return "screens for 'normal'; it must screen for 'caries'"


def screen_for_no_class(path: Path) -> str:
    rewrite(path, screened_class="plaque")
    return "lacks or misstates 'plaque'"


def have_other_classes(path: Path) -> str:
    rewrite(path, classes=[{"id": 1, "name": "caries"}, {"id": 2, "name": "normal"}])
    return "has the classes 1 caries, 2 normal; expected are 1 normal, 2 caries, as those of stand-in"


def hold_another_version(path: Path) -> str:
    rewrite(path, model={"name": "stand-in", "version": 1})
    return "contains stand-in 1"


BAD = [
    *(truncate, remove_a_file, add_a_file, cut_the_manifest, screen_for_another_class, screen_for_no_class),
    *(have_other_classes, hold_another_version),
]


@pytest.mark.parametrize("spoil", BAD)
def test_bad_bundle_is_refused(start: Start, tmp_path: Path, photo: bytes, spoil: Any) -> None:
    with start() as live:
        reason = spoil(write_bundle(tmp_path, version=2))
        for body in (None, {"version": 2}):
            response = live.client.post("/models/reload", json=body) if body else live.client.post("/models/reload")
            assert response.status_code == 409
            assert response.json()["type"] == "/problems/reload-refused"
            detail = response.json()["detail"]
            assert "stand-in/2" in detail
            assert reason in detail
            assert detail.endswith("; live: stand-in 1")
            assert str(tmp_path) not in detail
        assert answered_by(live, photo) == ("stand-in", 1)
        assert live.metric("caries_reloads_total", outcome="refused") == 2


def test_runtime_that_refuses_the_bundle(tmp_path: Path, stand_in: StandIn, photo: bytes) -> None:
    write_bundle(tmp_path)
    failure: list[Exception] = []

    def load(*_: object, **__: object) -> StandIn:
        if failure:
            raise failure[0]
        return stand_in

    with serving(Settings(model_store=tmp_path), load=load) as live:
        live.wait_until_ready()
        write_bundle(tmp_path, version=2)
        for error, says in ((RuntimeUnavailable("no such op"), "no such op"), (ValueError("/srv/secret"), "log")):
            failure[:] = [error]
            response = live.client.post("/models/reload")
            assert response.status_code == 409
            assert says in response.json()["detail"]
            assert "secret" not in response.text
            assert answered_by(live, photo) == ("stand-in", 1)


@pytest.mark.slow
def test_no_request_fails_while_versions_change(start: Start, tmp_path: Path, photo: bytes) -> None:
    write_bundle(tmp_path, version=2)
    with start(workers=2) as live:
        stop = threading.Event()
        seen: list[tuple[int, int]] = []

        def send() -> None:
            with httpx.Client(base_url=live.client.base_url, timeout=30) as client:
                while not stop.is_set():
                    answer = client.post("/detect", content=photo, headers=JSON)
                    seen.append((answer.status_code, answer.json().get("model", {}).get("version", 0)))

        senders = [threading.Thread(target=send) for _ in range(4)]
        for sender in senders:
            sender.start()
        for version in (1, 2, 1, 2, 1):
            assert live.client.post("/models/reload", json={"version": version}).status_code == 200
            assert live.client.get("/health/ready").status_code == 200
            sent = len(seen)
            wait_for(partial(lambda sent: len(seen) > sent + 4, sent))
        stop.set()
        for sender in senders:
            sender.join()
        assert {status for status, _ in seen} == {200}
        assert {version for _, version in seen} == {1, 2}


class Gated(StandIn):
    """A stand-in for one version."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = version


@contextmanager
def gated(settings: Settings) -> Iterator[tuple[Live, list[Gated]]]:
    """A ready server, and the runtimes it loaded, in order."""
    made: list[Gated] = []

    def load(bundle: Any, *_: object, **__: object) -> Gated:
        made.append(Gated(bundle.version))
        return made[-1]

    with serving(settings, load=load) as live:
        live.wait_until_ready()
        yield live, made


@pytest.fixture
def engine_threads() -> Callable[[], int]:
    """A function that counts the running workers started by this test."""
    others = set(threading.enumerate())
    return lambda: sum(thread.name.startswith("engine-") for thread in set(threading.enumerate()) - others)


def test_a_photo_in_flight_finishes_on_its_engine(
    tmp_path: Path, photo: bytes, engine_threads: Callable[[], int]
) -> None:
    write_bundle(tmp_path)
    with gated(Settings(model_store=tmp_path)) as (live, made):
        made[0].gate.clear()
        answers: list[Any] = []
        senders = [
            threading.Thread(target=lambda: answers.append(live.client.post("/detect", content=photo, headers=JSON)))
            for _ in range(2)
        ]
        for sender in senders:
            sender.start()
        wait_for(lambda: live.service.live.waiting == 1)
        write_bundle(tmp_path, version=2)
        assert live.client.post("/models/reload").status_code == 200
        assert answered_by(live, photo) == ("stand-in", 2)
        assert engine_threads() == 2
        made[0].gate.set()
        for sender in senders:
            sender.join()
        assert [(answer.status_code, answer.json()["model"]["version"]) for answer in answers] == [(200, 1)] * 2
        wait_for(lambda: engine_threads() == 1)


def test_one_reload_at_a_time(tmp_path: Path, photo: bytes) -> None:
    write_bundle(tmp_path)
    gate = threading.Event()
    gate.set()
    loading = threading.Event()

    def load(*_: object, **__: object) -> StandIn:
        loading.set()
        assert gate.wait(30)
        return StandIn()

    with serving(Settings(model_store=tmp_path), load=load) as live:
        live.wait_until_ready()
        write_bundle(tmp_path, version=2)
        gate.clear()
        loading.clear()
        first: list[Any] = []
        sender = threading.Thread(target=lambda: first.append(live.client.post("/models/reload")))
        sender.start()
        assert loading.wait(10)
        second = live.client.post("/models/reload")
        assert second.status_code == 409
        assert second.json()["type"] == "/problems/reload-running"
        assert answered_by(live, photo) == ("stand-in", 1)
        gate.set()
        sender.join()
        assert first[0].json()["live"][0]["version"] == 2
        assert live.metric("caries_reloads_total", outcome="busy") == 1


def test_two_live_models(start: Start, tmp_path: Path, photo: bytes) -> None:
    for name, version in (("other", 1), ("other", 2), ("third", 1), ("third", 2), ("fourth", 1)):
        write_bundle(tmp_path, name=name, version=version)
    with start(model="stand-in", models=(ModelChoice("other"), ModelChoice("third", 1))) as live:
        assert live_models(live) == [("other", 2, False), ("stand-in", 1, True), ("third", 1, False)]
        assert answered_by(live, photo) == ("stand-in", 1)
        assert answered_by(live, photo, "?model=stand-in") == ("stand-in", 1)
        assert answered_by(live, photo, "?model=other") == ("other", 2)
        assert answered_by(live, photo, "?model=third") == ("third", 1)
        for name in ("fourth", "x" * 500):
            response = live.client.post(f"/detect?model={name}", content=photo)
            assert response.status_code == 404
            assert response.json()["type"] == "/problems/unknown-model"
            assert "live are other, stand-in, third" in response.json()["detail"]
            assert len(response.json()["detail"]) < 200
        assert live.client.get("/models/third/card").text.startswith("# third 1")
        live.client.post("/models/reload", json={"model": "other", "version": 1})
        assert live_models(live) == [("other", 1, False), ("stand-in", 1, True), ("third", 1, False)]
        shutil.rmtree(tmp_path / "other")
        assert ("other", 1, False) in live_models(live)
        assert live.client.post("/models/reload").status_code == 404
        assert live_models(live) == [("other", 1, False), ("stand-in", 1, True), ("third", 1, False)]
        assert live.client.get("/metrics").text.count("caries_model_info{") == 3


@pytest.mark.parametrize("further", ["nothing", "stand-in"])
def test_a_further_model_that_cannot_be_loaded_stops_the_start(
    tmp_path: Path, stand_in: StandIn, further: str, engine_threads: Callable[[], int]
) -> None:
    write_bundle(tmp_path)
    told = threading.Event()
    settings = Settings(model_store=tmp_path, models=(ModelChoice(further),))
    with serving(settings, load=lambda *_, **__: stand_in, on_failure=told.set) as live:
        assert told.wait(10)
        assert live.client.get("/health/ready").status_code == 503
        assert engine_threads() == 0
