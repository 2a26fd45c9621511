"""Photos are kept, read and deleted over real HTTP: what is stored, who may see what, and what is recorded."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
import socket
import sqlite3
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

pytest.importorskip("alembic", reason="the extra reviews is not installed")

from app.detector.bundle import Bundle
from app.detector.detections import Detections
from app.photo.decoding import decode
from app.records.key_file import KeyFile, Role
from app.reviews.store import Entry, ReviewStore, Selection
from app.settings import Blind, ModelChoice, Precision, Settings, StoreLocation
from benchmarks.hostile_requests import request
from tests.app.api.live_server import (
    Live,
    StandIn,
    Start,
    assert_problem,
    light_of,
    make_photo,
    records,
    serving,
    wait_for,
    write_bundle,
)
from tests.app.api.server_process import Server, running
from tests.app.reviews.databases import empty_location

TEETH = [
    [16.0, 24.0, 80.0, 144.0],
    [96.0, 24.0, 160.0, 144.0],
    [176.0, 24.0, 240.0, 144.0],
    [249.6, 24.0, 313.6, 144.0],
]
"""What the stand-in detector sees on a photo of 320x240: normal, caries, caries, normal."""


def box(place: int, name: str | None = "caries") -> dict[str, Any]:
    return {"class": name, "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), TEETH[place], strict=True))}


def record(*carious: int, version: int = 0, **more: Any) -> dict[str, Any]:
    verdict = "carious" if carious else "sound"
    return {"version": version, "verdict": verdict, "boxes": [box(place) for place in carious], **more}


@pytest.fixture
def live(start: Start, tmp_path: Path) -> Iterator[Live]:
    with start(reviews=StoreLocation(tmp_path / "reviews", None), requests_per_minute=0) as running:
        yield running


def kept(live: Live, photo: bytes, query: str = "reader=a", **headers: str) -> dict[str, Any]:
    answer = live.client.post(f"/reviews/photos?{query}", content=photo, headers=headers)
    assert answer.status_code in (200, 201), answer.text
    body: dict[str, Any] = answer.json()
    return body


def put(live: Live, photo_id: int, content: Any, reader: str = "a", kind: str = "reading") -> httpx.Response:
    return live.client.put(f"/reviews/photos/{photo_id}/{kind}?reader={reader}", json=content)


def test_without_the_setting_nothing_is_served(start: Start) -> None:
    with start() as live:
        for path in ("/reviews", "/reviews/photos?reader=a"):
            assert_problem(live.client.get(path), 404, "not-found")
        assert not any(path.startswith("/reviews") for path in live.client.get("/openapi.json").json()["paths"])


def test_a_photo_is_kept_with_what_the_detector_said(live: Live, photo: bytes) -> None:
    answer = live.client.post("/reviews/photos?reader=a&patient=p-1&view=front", content=photo)
    assert answer.status_code == 201
    body = answer.json()
    assert {name: body[name] for name in ("id", "state", "kept_by", "patient", "view", "media_type")} == {
        **{"id": 1, "state": "waiting", "kept_by": "a", "patient": "p-1", "view": "front", "media_type": "image/jpeg"}
    }
    (found,) = body["detections"]
    assert found["model"] == live.client.post("/detect?format=json", content=photo).json()["model"]
    assert (found["verdict"], found["operating_point"]["score_threshold"]) == ("caries_suspected", 0.5)
    scores = {(entry["class"], entry["box"]["xmin"]): entry["score"] for entry in found["boxes"]}
    assert scores[("caries", 96.0)] == pytest.approx(0.8)
    assert body["start"] == [box(0, "normal"), box(1), box(2), box(3, "normal")]
    assert (body["reading"], body["readings"], body["consensus"]) == (None, [], None)
    again = live.client.post("/reviews/photos?reader=b", files={"file": ("Kim.jpg", photo)})
    assert (again.status_code, again.json()["id"], again.json()["patient"]) == (200, 1, "p-1")
    picture = live.client.get("/reviews/photos/1/picture")
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.headers["cache-control"] == "no-store"
    assert hashlib.sha256(picture.content).hexdigest() == body["sha256"]
    assert (decode(picture.content).pixels == decode(photo).pixels).all()
    assert live.client.get("/reviews").json() == {"blind": "off", "photos": {"waiting": 1, "disputed": 0, "done": 0}}


def test_photos_of_a_batch_are_kept_and_bad_ones_have_a_problem(live: Live, photo: bytes, tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("Kim.jpg", photo)
        members.writestr("note.txt", b"hello")
        members.writestr("Lee.png", make_photo(kind="PNG", light=150))
    answer = live.client.post("/reviews/batch?reader=a&patient=p1", content=archive.getvalue())
    first, second, third = answer.json()["results"]
    assert sorted((first["photo"], third["photo"])) == [1, 2]
    assert (second["index"], second["problem"]["type"]) == (2, "/problems/unsupported-photo")
    listed = live.client.get("/reviews/photos?reader=a").json()["photos"]
    assert [entry["patient"] for entry in listed] == ["p1", "p1"]
    assert all(entry["uncertainty"] > 0 for entry in listed)


def test_a_record_is_written_and_replaced_by_version(live: Live, photo: bytes) -> None:
    kept(live, photo)
    answer = put(live, 1, record(1, view="close", note="낮은 조명\nshade"))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["state"], body["reading"]["version"], body["reading"]["blind"]) == ("done", 1, False)
    assert body["reading"]["boxes"] == [box(1)]
    assert (body["reading"]["view"], body["reading"]["note"]) == ("close", "낮은 조명\nshade")
    assert "replaces version 0" in assert_problem(put(live, 1, record(2)), 409, "review-conflict")["detail"]
    assert put(live, 1, record(2, version=1)).json()["reading"]["version"] == 2
    assert [one["reader"] for one in live.client.get("/reviews/photos/1?reader=b").json()["readings"]] == ["a"]
    assert live.client.get("/reviews/photos?reader=a").json() == {"photos": []}
    assert put(live, 1, record(1), reader="b").json()["state"] == "disputed"
    assert [one["id"] for one in live.client.get("/reviews/photos?reader=a&state=disputed").json()["photos"]] == [1]
    settled = put(live, 1, record(1), reader="c", kind="consensus").json()
    assert (settled["state"], settled["consensus"]["reader"]) == ("done", "c")


REFUSED = [
    ("", "the body is empty"),
    ("[]", "the body is '[]'"),
    (json.dumps(record(1) | {"verdict": "healthy"}), "verdict is 'healthy'"),
    (json.dumps({"verdict": "sound", "boxes": []}), "version"),
    (json.dumps(record() | {"boxes": [box(1)]}), "the verdict is sound; it must have no box of the class caries"),
    (json.dumps(record() | {"boxes": [box(1, "molar")]}), "is 'molar'"),
    (json.dumps(record(1) | {"boxes": 201 * [box(1)]}), "at most 200 items"),
    (json.dumps(record(1, name="Kim")), "extra inputs are not permitted"),
    (json.dumps(record(1, note="a\0b")), "note"),
    (json.dumps(record(1)).replace("96.0", "NaN"), "xmin"),
    (json.dumps(record(1)).replace("160.0", "400.0"), "must have an area and lie within 0, 0, 320, 240"),
    ('{"version": 0, "verdict": "sound", "boxes": [], "note": "\\ud800"}', "hex escape"),
    (json.dumps(record()) + 70_000 * " ", "at most 65536 are accepted"),
]


def test_records_that_are_refused(live: Live, photo: bytes) -> None:
    kept(live, photo)
    for content, says in REFUSED:
        answer = live.client.put("/reviews/photos/1/reading?reader=a", content=content)
        assert says in assert_problem(answer, 422, "invalid-parameter")["detail"]
        assert live.client.get("/reviews/photos/1?reader=a").json()["reading"] is None


def test_parameters_that_are_refused(live: Live, photo: bytes) -> None:
    for path, says in (
        ("/reviews/photos", "reader is missing; without API keys, name who reads"),
        ("/reviews/photos?reader=%00", "reader"),
        ("/reviews/photos?reader=" + 65 * "a", "reader"),
        ("/reviews/photos?reader=a&state=new", "state is 'new'"),
        ("/reviews/photos?reader=a&limit=0", "limit"),
        ("/reviews/photos?readr=a", "did you mean reader?"),
        ("/reviews/photos/0/picture", "photo_id"),
        ("/reviews/photos/99999999999999999999/picture", "photo_id"),
    ):
        assert says in assert_problem(live.client.get(path), 422, "invalid-parameter")["detail"]
    named = live.client.post("/reviews/photos?reader=a&patient=Kim%20Minji", content=photo)
    assert_problem(named, 422, "invalid-parameter")
    assert_problem(live.client.get("/reviews/photos/7/picture"), 404, "unknown-photo")
    assert_problem(put(live, 7, record(1)), 404, "unknown-photo")
    for query in ("", "?kept_before=0", "?kept_before=2026-13-01"):
        assert_problem(live.client.delete(f"/reviews/photos{query}"), 422, "invalid-parameter")
    assert_problem(live.client.delete("/reviews/patients/Kim%20Minji"), 422, "invalid-parameter")
    wrong = live.client.patch("/reviews/photos")
    assert_problem(wrong, 405, "method-not-allowed")
    assert wrong.headers["allow"] == "DELETE, GET, POST"
    assert live.client.get("/reviews/photos?reader=a&state=all").json() == {"photos": []}


@pytest.mark.parametrize("blind", [Blind.EMPTY, Blind.UNCLASSED])
def test_a_blind_reader_gets_the_other_record_by_no_route(
    start: Start, photo: bytes, tmp_path: Path, blind: Blind
) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    made = {name: keys.add(name, Role.REVIEW)[1] for name in ("desk", "kim", "lee", "third")}
    location = StoreLocation(tmp_path / "reviews", None)
    with start(reviews=location, reviews_blind=blind, keys=tmp_path / "keys.json", requests_per_minute=0) as live:
        headers = {name: {"Authorization": f"Bearer {key}"} for name, key in made.items()}
        body = live.client.post("/reviews/photos", content=photo, headers=headers["desk"]).json()
        assert body["detections"] is None
        assert body["start"] == ([] if blind is Blind.EMPTY else [box(place, None) for place in range(4)])
        written = record(1, note="SECRET", view="close")
        put_by = lambda name, content, kind="reading": live.client.put(  # noqa: E731
            f"/reviews/photos/1/{kind}", json=content, headers=headers[name]
        )
        own = put_by("kim", written).json()
        assert (own["state"], own["reading"]["blind"], own["detections"]) == ("waiting", True, None)
        paths = ["/reviews", "/reviews/photos", "/reviews/photos?state=all", "/reviews/photos/1", "/reviews/agreement"]
        for name in ("lee", "third"):
            for path in paths:
                answer = live.client.get(path, headers=headers[name])
                assert answer.status_code == 200
                for trace in ("SECRET", '"carious"', "96.0" if blind is Blind.EMPTY else "close", '"uncertainty":2'):
                    assert trace not in answer.text, (path, trace)
            assert_problem(live.client.get("/reviews/photos/1?reader=kim", headers=headers[name]), 403, "role-needed")
            refused = (put_by(name, record(1), "consensus"), 409), (put_by(name, record(1, version=1)), 409)
            for answer, status in refused:
                assert answer.status_code == status
                assert "SECRET" not in answer.text
            assert_problem(live.client.get("/reviews/export", headers=headers[name]), 403, "role-needed")
        done = put_by("lee", record(2)).json()
        assert done["state"] == "disputed"
        assert [one["reader"] for one in done["readings"]] == ["kim", "lee"]
        assert done["detections"][0]["verdict"] == "caries_suspected"
        assert_problem(put_by("kim", record(2, version=1)), 409, "reading-closed")
        assert_problem(put_by("third", record(2)), 409, "reading-closed")
        (pair,) = live.client.get("/reviews/agreement", headers=headers["kim"]).json()["pairs"]
        assert (pair["readers"], pair["photos"], pair["f1_05"], pair["kappa_photo"]) == (["kim", "lee"], 1, 0.0, None)
        assert put_by("third", record(1), "consensus").json()["state"] == "done"
        figures = live.client.get("/reviews/agreement", headers=headers["kim"]).json()
        assert [(one["reader"], one["f1_05"]) for one in figures["readers"]] == [("kim", 1.0), ("lee", 0.0)]
        assert figures["detectors"][0]["f1_05"] == pytest.approx(2 / 3, abs=1e-4)
        assert list(figures["readers"][0]["by_view"]) == ["close"]


def test_another_mode_of_reading_changes_what_waits(start: Start, photo: bytes, tmp_path: Path) -> None:
    location = StoreLocation(tmp_path / "reviews", None)
    for blind, state in ((Blind.OFF, "done"), (Blind.EMPTY, "waiting"), (Blind.OFF, "done")):
        with start(reviews=location, reviews_blind=blind) as live:
            if not live.client.get("/reviews/photos?reader=b&state=all").json()["photos"]:
                kept(live, photo)
                assert put(live, 1, record(1)).status_code == 200
            (entry,) = live.client.get("/reviews/photos?reader=b&state=all").json()["photos"]
            assert entry["state"] == state


def test_roles_and_the_audit_log(start: Start, photo: bytes, tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    made = {role: keys.add(f"the {role}", role)[1] for role in Role}
    settings = {"reviews": StoreLocation(tmp_path / "reviews", None), "audit": tmp_path / "audit"}
    with start(keys=tmp_path / "keys.json", **settings) as live:

        def send(role: Role, method: str, path: str, **options: Any) -> httpx.Response:
            return live.client.request(method, path, headers={"X-API-Key": made[role]}, **options)

        for path in ("/reviews", "/reviews/photos", "/reviews/photos/1/picture", "/reviews/agreement"):
            assert_problem(send(Role.DETECT, "GET", path), 403, "role-needed")
        assert send(Role.REVIEW, "POST", "/detect", content=photo).status_code == 200
        assert send(Role.REVIEW, "POST", "/reviews/photos?patient=p1", content=photo).json()["kept_by"] == "the review"
        assert send(Role.REVIEW, "POST", "/reviews/batch", files={"files": ("a.jpg", make_photo(light=150))}).json()
        assert send(Role.REVIEW, "PUT", "/reviews/photos/1/reading", json=record(1)).status_code == 200
        assert send(Role.REVIEW, "GET", "/reviews/photos/1/picture").status_code == 200
        for path in ("/reviews/photos/1", "/reviews/patients/p1"):
            assert_problem(send(Role.REVIEW, "DELETE", path), 403, "role-needed")
        digest = send(Role.ADMIN, "GET", "/reviews/photos/1").json()["sha256"]
        assert send(Role.ADMIN, "DELETE", "/reviews/patients/p1").json() == {"deleted": 1}
        assert send(Role.ADMIN, "DELETE", "/reviews/photos?kept_before=2020-01-31").json() == {"deleted": 0}
        assert_problem(send(Role.ADMIN, "DELETE", "/reviews/photos/1"), 404, "unknown-photo")
        assert send(Role.ADMIN, "DELETE", "/reviews/photos/2").json() == {"deleted": 1}
    lines = [line for line in records(tmp_path / "audit") if line["route"].startswith("/reviews")]
    written = [
        {
            name: line[name]
            for name in ("key", "method", "route", "status", "photo", "photo_id", "event", "deleted")
            if name in line
        }
        for line in lines
        if line["key"] != "the detect"
    ]
    of_photo, of_all = "/reviews/photos/{photo_id}", "/reviews/photos"
    assert {"key": "the review", "method": "POST", "route": of_all, "status": 201, "photo_id": 1} in written
    batch = {"key": "the review", "method": "POST", "route": "/reviews/batch", "status": 200}
    assert batch | {"photo": 1, "photo_id": 2} in written
    reading = {"key": "the review", "method": "PUT", "route": f"{of_photo}/reading", "status": 200, "photo_id": 1}
    assert reading in written
    assert {
        "key": "the review",
        "method": "GET",
        "route": f"{of_photo}/picture",
        "status": 200,
        "photo_id": 1,
    } in written
    admin = {"key": "the admin", "method": "DELETE", "route": "/reviews/patients/{patient}"}
    assert admin | {"photo_id": 1, "event": "photo_deleted"} in written
    assert admin | {"status": 200, "deleted": 1} in written
    assert next(line["picture_sha256"] for line in lines if line.get("event")) == digest
    assert "p1" not in "".join(path.read_text() for path in (tmp_path / "audit").glob("*.jsonl"))


def test_a_deletion_is_recorded_while_writers_occupy_every_thread(
    start: Start, photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = min(32, (os.cpu_count() or 1) + 4)
    is_deleting, writing = threading.Event(), threading.Semaphore(0)
    delete, write_reading = ReviewStore.delete, ReviewStore.write_reading

    def wait_and_delete(store: ReviewStore, selection: Selection, record: Callable[[int, str], None]) -> int:
        def wait_and_record(photo_id: int, sha256: str) -> None:
            is_deleting.set()
            for _ in range(threads - 1):
                assert writing.acquire(timeout=20)
            record(photo_id, sha256)

        return delete(store, selection, wait_and_record)

    def note_and_write(store: ReviewStore, photo_id: int, entry: Entry) -> None:
        writing.release()
        write_reading(store, photo_id, entry)

    monkeypatch.setattr(ReviewStore, "delete", wait_and_delete)
    monkeypatch.setattr(ReviewStore, "write_reading", note_and_write)
    settings = {"reviews": StoreLocation(tmp_path / "reviews", None), "audit": tmp_path / "audit"}
    with start(audit_fsync=True, requests_per_minute=0, **settings) as live, ThreadPoolExecutor(threads) as clients:
        kept(live, photo)
        kept(live, make_photo(light=150))
        deleting = clients.submit(live.client.delete, "/reviews/photos/1")
        assert is_deleting.wait(20)
        written = [clients.submit(put, live, 2, record(1), f"reader {number}") for number in range(threads - 1)]
        assert deleting.result().json() == {"deleted": 1}
        assert [one.result().status_code for one in written] == (threads - 1) * [200]
    assert [line["photo_id"] for line in records(tmp_path / "audit") if line.get("event") == "photo_deleted"] == [1]


@pytest.mark.parametrize("path", ["photos", "batch"])
def test_a_photo_whose_client_left_is_recorded_once_it_is_kept(
    start: Start, photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    keep, has_begun, may_end = ReviewStore.keep, threading.Event(), threading.Event()

    def slow(store: ReviewStore, *args: Any, **options: Any) -> tuple[int, bool]:
        has_begun.set()
        assert may_end.wait(30)
        return keep(store, *args, **options)

    monkeypatch.setattr(ReviewStore, "keep", slow)
    with start(reviews=StoreLocation(tmp_path / "reviews", None), audit=tmp_path / "audit") as live:
        body = io.BytesIO(photo)
        if path == "batch":
            with zipfile.ZipFile(body, "w") as archive:
                archive.writestr("a.jpg", photo)
        with socket.create_connection(("127.0.0.1", live.port)) as client:
            client.sendall(request(body.getvalue(), path=f"/reviews/{path}?reader=kim"))
            assert has_begun.wait(30)
        may_end.set()
        wait_for(lambda: any(line.get("photo_id") for line in records(tmp_path / "audit")))
        lines = [line for line in records(tmp_path / "audit") if line.get("photo_id")]
    assert [line["photo_id"] for line in lines] == [1]
    assert "sha256" in lines[0]


def test_two_models_are_compared(start: Start, photo: bytes, tmp_path: Path) -> None:
    write_bundle(tmp_path, name="other")
    location = StoreLocation(tmp_path / "reviews", None)
    with start(reviews=location, model="stand-in", models=(ModelChoice("other"),)) as live:
        body = kept(live, photo)
        assert [found["model"]["name"] for found in body["detections"]] == ["stand-in", "other"]
        (entry,) = live.client.get("/reviews/photos?reader=a&order=disagreement").json()["photos"]
        assert entry["disagreement"] == 0


class Other(StandIn):
    """A stand-in that agrees with the first on the suspected teeth by the light of the photo: both, one or none."""

    def detect(self, pixels: np.ndarray) -> Detections:
        """The teeth of the first, with classes of its own."""
        found = super().detect(pixels)
        suspected = {130: [1, 2, 2, 1], 140: [1, 2, 1, 1], 150: [1, 1, 1, 1]}
        # The warm-up's pictures have other lights.
        return Detections(found.boxes, found.scores, np.array(suspected.get(light_of(pixels), [1, 1, 1, 1])))


def test_the_photo_on_which_two_models_differ_most_is_first(tmp_path: Path) -> None:
    for name in ("stand-in", "other"):
        write_bundle(tmp_path, name=name)
    settings = Settings(
        model_store=tmp_path,
        precision=Precision.FLOAT32,
        model="stand-in",
        models=(ModelChoice("other"),),
        reviews=StoreLocation(tmp_path / "reviews", None),
    )

    def load(bundle: Bundle, *_: object, **__: object) -> StandIn:
        return Other() if bundle.name == "other" else StandIn()

    with serving(settings, load=load) as live:
        live.wait_until_ready()
        for light in (140, 150, 130):
            kept(live, make_photo(light=light))

        def queue(query: str) -> list[tuple[int, float]]:
            listed = live.client.get(f"/reviews/photos?reader=b&{query}").json()["photos"]
            return [(entry["id"], entry["disagreement"]) for entry in listed]

        assert queue("order=disagreement") == [(2, 1), (1, pytest.approx(1 / 3, abs=1e-4)), (3, 0)]
        assert queue("order=disagreement&limit=1") == [(2, 1)]
        assert [number for number, _ in queue("order=uncertainty")] == [3, 2, 1], "the newest of equal ones"
        assert [number for number, _ in queue("order=date")] == [1, 2, 3]


def test_an_export_is_a_zip_of_the_training_layout(live: Live, photo: bytes) -> None:
    kept(live, photo)
    kept(live, make_photo(light=150))
    assert put(live, 1, record(1)).status_code == 200
    answer = live.client.get("/reviews/export")
    assert answer.headers["content-type"] == "application/zip"
    tables = ["folds.csv", "dataset.toml"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["img_train/photo-000001.jpg", "json_train/photo-000001.json", *tables]
        assert archive.read("img_train/photo-000001.jpg") == live.client.get("/reviews/photos/1/picture").content


def test_a_store_that_fails_is_a_problem(
    start: Start, photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.reviews.database.BUSY_MS", 50)
    with start(reviews=StoreLocation(tmp_path / "reviews", None)) as live:
        with closing(sqlite3.connect(tmp_path / "reviews" / "reviews.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = live.client.post("/reviews/photos?reader=a", content=photo)
        assert str(tmp_path) not in answer.text
        assert_problem(answer, 503, "review-store-failed")
        assert kept(live, photo)["id"] == 1


class Writers:
    """Clients that write to a server until it ends: three readers of photo 1, and one that keeps photos.

    Attributes:
        versions: the last version that each reader got an answer to.
        kept: number and digest of the photos that were answered.
    """

    def __init__(self) -> None:
        self.versions = dict.fromkeys("abc", 0)
        self.kept: dict[int, str] = {}
        self._width = itertools.count(321)  # the width of photo 1 is 320

    def run_until_killed(self, server: Server) -> None:
        """Start all, kill the server once each got several answers, and wait for them."""
        before, kept_before = min(self.versions.values()), len(self.kept)
        writers = [threading.Thread(target=self._write, args=(name, server.address)) for name in self.versions]
        writers.append(threading.Thread(target=self._keep, args=(server.address,)))
        for writer in writers:
            writer.start()

        def are_busy() -> bool:
            has_failed = not all(writer.is_alive() for writer in writers)
            return has_failed or (min(self.versions.values()) >= before + 3 and len(self.kept) > kept_before)

        wait_for(are_busy, seconds=120)
        server.process.kill()
        for writer in writers:
            writer.join(30)

    def _write(self, reader: str, address: str) -> None:
        version, path = self.versions[reader], f"/reviews/photos/1/reading?reader={reader}"
        with contextlib.suppress(httpx.HTTPError), httpx.Client(base_url=address, timeout=30) as client:
            while True:
                answer = client.put(path, json=record(1, version=version))
                if answer.status_code == 409:  # written, and killed before the answer
                    version = client.get(f"/reviews/photos/1?reader={reader}").json()["reading"]["version"]
                    continue
                assert answer.status_code == 200, answer.text
                self.versions[reader] = version = version + 1

    def _keep(self, address: str) -> None:
        with contextlib.suppress(httpx.HTTPError), httpx.Client(base_url=address, timeout=30) as client:
            while True:
                photo = make_photo(next(self._width), 240)
                answer = client.post("/reviews/photos?reader=a", content=photo)
                assert answer.status_code == 201, answer.text
                self.kept[answer.json()["id"]] = answer.json()["sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.systems)])
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_killed_server_loses_no_answered_review(
    request: pytest.FixtureRequest, tmp_path: Path, photo: bytes, database: str, kills: int
) -> None:
    location = empty_location(request, database, tmp_path)
    write_bundle(tmp_path / "store")
    flags = ["--reviews", str(location), "--requests-per-minute", "0"]
    writers = Writers()
    for number in range(kills):
        with running(tmp_path / "store", *flags) as server:
            kept_first = httpx.post(f"{server.address}/reviews/photos?reader=a", content=photo, timeout=30)
            assert kept_first.status_code == (200 if number else 201)
            writers.run_until_killed(server)
        with closing(ReviewStore(location)) as store:
            found = {reading.reader: reading.version for reading in store.photo(1).all_readings}
            assert [name for name, last in writers.versions.items() if found[name] < last] == []
            for photo_id, sha256 in writers.kept.items():
                assert hashlib.sha256(store.picture(photo_id)[0]).hexdigest() == sha256
                assert len(store.photo(photo_id).findings) == 1
