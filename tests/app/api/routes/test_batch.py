"""`POST /detect/batch` over real HTTP: results for each photo, limits, shutdown and leaving clients."""

import hashlib
import io
import json
import logging
import signal
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from app.api.answers import BatchAnswer
from app.api.middleware.observe import HEADER
from app.api.protocol import Protocol
from app.detector.detections import Detections
from app.errors import AuditError, WorkerDied
from app.photo.encoding import encode
from app.photo.zip_photos import Member
from app.records.key_file import KeyFile, Role
from app.settings import Settings
from tests.app.api.live_server import (
    POINTS,
    Live,
    StandIn,
    Start,
    assert_problem,
    kept_bytes,
    light_of,
    make_photo,
    records,
    serving,
    wait_for,
    write_bundle,
)
from tests.app.api.server_process import in_hand, listens, running
from tests.app.photo import dicom_files

BATCH = "/detect/batch"
ZIP = {"Content-Type": "application/zip"}
LINES = {"Accept": "application/x-ndjson"}
NAME = "HongGildong19700101"


class OneByOne(StandIn):
    """A stand-in whose detections a test releases one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = threading.Semaphore(0)
        self.lights: list[int] = []
        self._held = False

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Inside the block each detection waits for a release of `gates`; `lights` are those of the photos begun."""
        self.gates = threading.Semaphore(0)
        self._held = True
        try:
            yield
        finally:
            self._held = False
            self.gates.release(1000)

    def detect(self, pixels: np.ndarray) -> Detections:
        """Wait for one release inside `holding`."""
        if self._held:
            self.lights.append(light_of(pixels))
            assert self.gates.acquire(timeout=30)
        return super().detect(pixels)


@pytest.fixture
def stand_in() -> OneByOne:
    """The stand-in detector of this test's servers."""
    return OneByOne()


@pytest.fixture(scope="module")
def photos() -> list[bytes]:
    """Five photos of different widths and light; the stand-in distinguishes them by light."""
    return [make_photo(320 + 8 * number, light=100 + 10 * number) for number in range(5)]


def form(photos: list[bytes], field: str = "files") -> list[tuple[str, tuple[str, bytes]]]:
    return [(field, (f"{NAME}-{number}.jpg", photo)) for number, photo in enumerate(photos)]


def zipped(photos: list[bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    return archive_of([(f"{NAME}-{number}.jpg", photo) for number, photo in enumerate(photos)], method)


def archive_of(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def results(answer: httpx.Response) -> list[dict[str, Any]]:
    """The results without timings, validated against the description."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert BatchAnswer.model_validate(body).model_dump(mode="json", by_alias=True).keys() == body.keys()
    for result in body["results"]:
        result.pop("timings_ms", None)
    return list(body["results"])


def problems(answer: httpx.Response) -> list[str | None]:
    """The types of the results' problems, None for a screened photo."""
    return [result.get("problem", {}).get("type", "").rpartition("/")[2] or None for result in results(answer)]


@pytest.mark.parametrize("field", ["files", "file"])
def test_results_equal_those_of_single_photos_in_the_order_sent(live: Live, photos: list[bytes], field: str) -> None:
    query = "?classes=all&threshold=0.4&max_boxes=3"
    single = [live.client.post(f"/detect{query}&format=json", content=photo).json() for photo in photos]
    for answer in single:
        answer.pop("timings_ms")
    sent: list[dict[str, Any]] = [
        {"files": form(photos, field)},
        {"content": zipped(photos), "headers": ZIP},
        {"content": zipped(photos, zipfile.ZIP_STORED)},
        {"files": {field: ("x", zipped(photos))}},
    ]
    for one in sent:
        got = results(live.client.post(BATCH + query, **one))
        assert got == [{"index": index, **answer} for index, answer in enumerate(single, 1)]
    assert live.metric("caries_verdicts_total", verdict="caries_suspected") == len(photos) * (1 + len(sent))
    assert live.service.screener.admission.callers == 0


def test_every_frame_of_a_dicom_file_is_a_photo(start: Start, photos: list[bytes]) -> None:
    pictures = [np.asarray(Image.open(io.BytesIO(make_photo(light=light)))) for light in (100, 120, 140)]
    multi = dicom_files.frames(pictures)
    single = dicom_files.native(pictures[0])
    sent: list[dict[str, Any]] = [
        {"content": multi, "headers": {"Content-Type": "application/dicom"}},
        {"content": zipped([photos[0], multi, single, multi[:600]]), "headers": ZIP},
        {"files": form([photos[0], multi, single])},
    ]
    with start(batch_photos=6) as live:
        alone = [live.client.post(f"/detect?format=json&frame={frame}", content=multi).json() for frame in (1, 2, 3)]
        frames = [(result["index"], result.get("frame")) for result in results(live.client.post(BATCH, **sent[0]))]
        assert frames == [(1, 1), (2, 2), (3, 3)]
        for one in sent[1:]:
            found = results(live.client.post(BATCH, **one))
            assert [result.get("frame") for result in found[:5]] == [None, 1, 2, 3, None]
            assert [result["detections"] for result in found[1:4]] == [answer["detections"] for answer in alone]
        assert problems(live.client.post(BATCH, **sent[1]))[5:] == ["unreadable-photo"]
    with start(batch_photos=4) as live:
        problem = assert_problem(live.client.post(BATCH, **sent[2]), 413, "batch-too-large")
        assert "more than 4 photos, DICOM frames included" in problem["detail"]
    with start(max_frames=2) as live:
        assert problems(live.client.post(BATCH, **sent[2])) == [None, "photo-too-large", None]


def test_a_file_of_several_frames_is_unpacked_with_a_permit_and_once_for_all(
    start: Start, stand_in: OneByOne, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = np.asarray(Image.open(io.BytesIO(photo)))
    archive, read, unpacked = zipped([dicom_files.frames(5 * [picture])]), Member.read, []

    def count(member: Member, max_bytes: int) -> bytes:
        unpacked.append(member)
        return read(member, max_bytes)

    monkeypatch.setattr(Member, "read", count)
    with start(photos_open=2) as live:
        with stand_in.holding():
            first = Sender(live, BATCH, files=form([photo]))
            wait_for(lambda: live.service.screener.admission.batch_photo_permits.locked())
            second = Sender(live, BATCH, content=archive, headers=ZIP)
            wait_for(lambda: live.service.screener.admission.callers == 2)
            time.sleep(0.3)
            assert not unpacked
        assert problems(first.answer()) == [None]
        assert problems(second.answer()) == [None] * 5
    assert len(unpacked) == 2, "to count the frames, and to screen them"


def test_the_operating_point_applies_to_all_photos(start: Start, tmp_path: Path, photos: list[bytes]) -> None:
    write_bundle(tmp_path, version=2, operating_points=POINTS)
    with start() as live:
        answered = results(live.client.post(f"{BATCH}?operating_point=specific", files=form(photos)))
        assert {result["operating_point"]["name"] for result in answered} == {"specific"}
        refused = live.client.post(f"{BATCH}?operating_point=keen", files=form(photos))
        assert "are: balanced, specific" in assert_problem(refused, 422, "invalid-parameter")["detail"]


def test_real_boxes(real: Live, example_photos: list[Path]) -> None:
    photos = [path.read_bytes() for path in example_photos[:8]]
    single = [real.client.post("/detect?format=json", content=photo).json() for photo in photos]
    got = results(real.client.post(BATCH, files=form(photos)))
    assert [result["image"]["sha256"] for result in got] == [answer["image"]["sha256"] for answer in single]
    assert [result["detections"] for result in got] == [answer["detections"] for answer in single]


def test_bad_photos_among_good_ones(live: Live, photo: bytes) -> None:
    mixed = [photo, b"hello", photo[:500], b"", zipped([photo]), photo]
    expected = [None, "unsupported-photo", "unreadable-photo", "unreadable-photo", "unsupported-photo", None]
    for sent in ({"files": form(mixed)}, {"content": zipped(mixed), "headers": ZIP}):
        answer = live.client.post(BATCH, **sent)
        assert problems(answer) == expected
        assert "ZIP files are not accepted" in answer.text
        assert NAME not in answer.text
    problem = answer.json()["results"][1]["problem"]
    assert list(problem) == ["type", "title", "status", "detail"]
    assert problem["status"] == 415
    assert live.metric("caries_problems_total", type="unsupported-photo") == 4
    assert live.metric("caries_requests_total", route=BATCH, method="POST", status="200") == 2


def test_lines_arrive_before_the_batch_is_done(live: Live, stand_in: OneByOne, photos: list[bytes]) -> None:
    seen = []
    files = form([*photos, b"x"])
    with stand_in.holding(), live.client.stream("POST", BATCH, files=files, headers=LINES) as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert answer.headers["cache-control"] == "no-store"
        stand_in.gates.release()
        for line in answer.iter_lines():
            seen.append(json.loads(line))
            assert len(stand_in.lights) <= len(seen) + 1, "an answer came only after others were begun"
            stand_in.gates.release()
    assert sorted(entry["index"] for entry in seen) == [1, 2, 3, 4, 5, 6]
    widths = {entry["index"]: entry["image"]["width"] for entry in seen if "image" in entry}
    assert widths == {index: 320 + 8 * (index - 1) for index in range(1, 6)}


def test_zip_of_pictures(live: Live, photos: list[bytes]) -> None:
    answer = live.client.post(f"{BATCH}?format=zip", files=form([*photos[:2], b"x", photos[2]]))
    assert answer.headers["content-type"] == "application/zip"
    assert "transfer-encoding" in answer.headers, "it is sent as it is made"
    assert NAME.encode() not in answer.content
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    assert sorted(archive.namelist()) == ["0001.png", "0002.png", "0004.png", "results.json"]
    assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
    assert all(entry.flag_bits & 8 == 0 for entry in archive.infolist()), "sizes stand before the pictures"
    told = json.loads(archive.read("results.json"))["results"]
    assert [entry["index"] for entry in told] == [1, 2, 3, 4]
    assert told[2]["problem"]["status"] == 415
    for number, photo in ((1, photos[0]), (4, photos[2])):
        assert archive.read(f"{number:04}.png") == live.client.post("/detect", content=photo).content


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/x-ndjson, application/json;q=0.5", "application/x-ndjson"),
        ("application/zip", "application/zip"),
    ],
)
def test_format_by_accept(live: Live, photo: bytes, accept: str, kind: str) -> None:
    answer = live.client.post(BATCH, files=form([photo]), headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == kind
    assert answer.headers["vary"] == "Accept"


def test_requests_that_are_not_a_batch(live: Live, photo: bytes) -> None:
    boundary = {"Content-Type": "multipart/form-data; boundary=xx"}
    refused: tuple[tuple[dict[str, Any], int, str, str], ...] = (
        ({"content": b""}, 400, "bad-archive", "damaged or incomplete"),
        ({"content": photo}, 400, "bad-archive", "damaged or incomplete"),
        ({"content": b"--xx--\r\n", "headers": boundary}, 400, "bad-form", "no field files"),
        ({"files": {"image": ("a.jpg", photo)}}, 400, "bad-form", "must be in files"),
        ({"files": {"files": (None, b"a.jpg")}}, 400, "bad-form", "contains text"),
        ({"files": form([photo]), "data": {"threshold": "1"}}, 400, "bad-form", "'threshold'"),
        ({"content": archive_of([]), "headers": ZIP}, 400, "bad-archive", "no photos"),
        ({"files": {"files": ("x", archive_of([]))}}, 400, "bad-archive", "no photos"),
        ({"content": photo, "headers": {"Content-Type": "image/jpeg"}}, 415, "unsupported-media-type", "image/jpeg"),
        ({"content": photo, "headers": {"Content-Encoding": "gzip"}}, 415, "unsupported-media-type", "gzip"),
        ({"files": form([photo]), "headers": {"Accept": "image/png"}}, 406, "not-acceptable", "application/x-ndjson"),
        ({"files": form([photo]), "params": {"format": "png"}}, 422, "invalid-parameter", "format is 'png'"),
        ({"files": form([photo]), "params": {"treshold": "1"}}, 422, "invalid-parameter", "did you mean threshold"),
        ({"files": form([photo]), "params": {"model": "other"}}, 404, "unknown-model", "'other' is not live"),
    )
    for sent, status, slug, says in refused:
        for accept in ({}, LINES):
            headers = {**accept, **sent.get("headers", {})}
            problem = assert_problem(live.client.post(BATCH, **{**sent, "headers": headers}), status, slug)
            assert says in problem["detail"]
    assert live.service.screener.admission.callers == 0


def test_limits_of_a_batch(start: Start, photo: bytes) -> None:
    sent: dict[str, Any]
    with start(batch_photos=3, batch_bytes=4 * len(photo)) as live:
        for sent in ({"files": form([photo] * 3)}, {"content": zipped([photo] * 3), "headers": ZIP}):
            assert problems(live.client.post(BATCH, **sent)) == [None] * 3
        for sent in ({"files": form([b"x"] * 4)}, {"content": zipped([b"x"] * 4), "headers": ZIP}):
            problem = assert_problem(live.client.post(BATCH, **sent), 413, "batch-too-large")
            assert "more than 3 photos" in problem["detail"]
        large = photo + bytes(4 * len(photo))
        request = live.client.build_request("POST", BATCH, files=form([large]))
        body = request.read()
        pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
        for sent in (
            {"files": form([large])},
            {"content": iter(pieces), "headers": {"Content-Type": request.headers["content-type"]}},
            {"content": zipped([large], zipfile.ZIP_STORED), "headers": ZIP},
            {"content": iter([large]), "headers": ZIP},
        ):
            problem = assert_problem(live.client.post(BATCH, **sent), 413, "batch-too-large")
            assert str(4 * len(photo)) in problem["detail"]
        part = b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--xx--'
    with start() as live:
        headers = {"Content-Type": "multipart/form-data; boundary=xx"}
        answer = live.client.post(BATCH, content=part + bytes(9_000_000), headers=headers)
        assert "besides its photos" in assert_problem(answer, 413, "batch-too-large")["detail"]


def test_one_photo_over_the_limit_of_a_photo(start: Start, photo: bytes) -> None:
    large = make_photo(900, 900, "PNG")
    assert len(large) > 4 * len(photo)
    with start(max_bytes=2 * len(photo)) as live:
        for sent in ({"files": form([photo, large])}, {"content": zipped([photo, large]), "headers": ZIP}):
            answer = live.client.post(BATCH, **sent)
            assert problems(answer) == [None, "photo-too-large"]
            assert str(2 * len(photo)) in answer.text


def altered(archive: bytes, name: str, **fields: int) -> bytes:
    """The archive with changed numbers in a member's directory entry: `flags`, `method`, `crc`, `size`, `place`."""
    places = {"flags": (8, 2), "method": (10, 2), "crc": (16, 4), "packed": (20, 4), "size": (24, 4), "place": (42, 4)}
    made = bytearray(archive)
    entry = made.rindex(name.encode()) - 46
    assert made[entry : entry + 4] == b"PK\x01\x02"
    for field, value in fields.items():
        at, length = places[field]
        made[entry + at : entry + at + length] = value.to_bytes(length, "little")
    return bytes(made)


def test_bombs(start: Start, photo: bytes) -> None:
    zeros = archive_of([("a.png", bytes(30_000_000)), ("b.jpg", photo)])
    with start() as live:
        lied = altered(zeros, "a.png", size=1000)
        for bomb in (zeros, lied):
            answer = live.client.post(BATCH, content=bomb, headers=ZIP)
            assert problems(answer) == ["photo-too-large", None]
            assert "100 times" in answer.text
    with start(max_bytes=10_000) as live:
        answer = live.client.post(BATCH, content=altered(zeros, "a.png", size=1000), headers=ZIP)
        assert problems(answer) == ["photo-too-large", None]
        assert "10000" in answer.text


def test_member_names_are_harmless_and_system_files_are_skipped(live: Live, photo: bytes, tmp_path: Path) -> None:
    names = [
        *("../../../../tmp/slip.jpg", "/etc/slip.jpg", "C:\\slip.jpg", "..\\slip.jpg", "a/../slip.jpg", "나/이.jpg"),
        *("folder/", "__MACOSX/._a.jpg", ".DS_Store", "x/.hidden/a.jpg", "Thumbs.db", "a.jpg"),
    ]
    sent = archive_of([(name, b"" if name.endswith("/") else photo) for name in names])
    answer = live.client.post(BATCH, content=sent, headers=ZIP)
    assert problems(answer) == [None] * 7
    assert "slip" not in answer.text
    assert not list(tmp_path.rglob("*slip*"))
    hidden = archive_of([("__MACOSX/a.jpg", photo), ("x/", b"")])
    assert "no photos" in assert_problem(live.client.post(BATCH, content=hidden), 400, "bad-archive")["detail"]


def test_members_that_cannot_be_unpacked(live: Live, photo: bytes) -> None:
    names = ["encrypted", "bzip2", "checksum", "size", "cut", "good"]
    sent = archive_of([(name, photo) for name in names])
    sent = altered(sent, "encrypted", flags=1)
    sent = altered(sent, "bzip2", method=12)
    sent = altered(sent, "checksum", crc=1)
    sent = altered(sent, "size", size=len(photo) + 1)
    sent = altered(sent, "cut", packed=100)
    answer = live.client.post(BATCH, content=sent, headers=ZIP)
    assert problems(answer) == [
        *("unsupported-photo", "unsupported-photo", "unreadable-photo", "unreadable-photo", "unreadable-photo", None)
    ]
    details = [result["problem"]["detail"] for result in answer.json()["results"][:5]]
    for detail, says in zip(details, ("encrypted", "method 12", "checksum", "checksum", "incomplete"), strict=True):
        assert says in detail
    noise = bytearray(sent)
    start = noise.index(b"good") + 4
    noise[start : start + 50] = b"\xff" * 50
    assert problems(live.client.post(BATCH, content=bytes(noise), headers=ZIP))[-1] == "unreadable-photo"


def test_archives_that_cannot_be_read(live: Live, photo: bytes) -> None:
    good = archive_of([("a.jpg", photo), ("b.jpg", photo)])
    end = good.rindex(b"PK\x05\x06")
    many = archive_of([("a.jpg", photo), *((f".{number}", b"") for number in range(200))])
    for sent, says in (
        (good[:-1], "damaged"),
        (good[: len(good) // 2], "damaged"),
        (good[end:], "damaged"),
        (b"x" + good, "damaged"),
        (altered(good, "b.jpg", place=0), "overlap"),
        (altered(good, "a.jpg", packed=len(good) // 2 + 40), "overlap"),
        (altered(good, "b.jpg", packed=len(good)), "damaged"),
        (altered(good, "b.jpg", place=5), "damaged"),
        (altered(good, "b.jpg", place=2**31), "damaged"),
        (altered(good, "b.jpg", size=2**32 - 1), "zip64"),
        (good[: end + 4] + b"\1\0" + good[end + 6 :], "several"),
        (good[: end + 4] + b"\xff" * 16 + b"\0\0", "zip64"),
        (good[: end + 12] + bytes(4) + good[end + 16 :], "damaged"),
    ):
        problem = assert_problem(live.client.post(BATCH, content=sent, headers=ZIP), 400, "bad-archive")
        assert says in problem["detail"], says
    assert "200" not in assert_problem(live.client.post(BATCH, content=many), 413, "batch-too-large")["detail"]
    with_comment = good[:-2] + (26).to_bytes(2, "little") + b"PK\x05\x06" + bytes(22)
    assert problems(live.client.post(BATCH, content=with_comment)) == [None, None]


class Sender:
    """A request in flight, in a thread."""

    def __init__(self, live: Live, address: str, **sent: Any) -> None:
        self._answer: Any = None
        self._thread = threading.Thread(target=self._send, args=(live, address, sent))
        self._thread.start()

    def _send(self, live: Live, address: str, sent: dict[str, Any]) -> None:
        self._answer = live.client.post(address, **sent)

    def answer(self) -> httpx.Response:
        """Wait for the answer."""
        self._thread.join(40)
        assert isinstance(self._answer, httpx.Response)
        return self._answer


def test_a_single_photo_waits_for_one_or_two_of_a_batch(start: Start, stand_in: OneByOne) -> None:
    with start(photos_open=3, workers=1) as live:
        with stand_in.holding():
            batch = Sender(live, BATCH, files=form([make_photo(light=100)] * 20))
            wait_for(lambda: len(stand_in.lights) == 1 and live.service.live.waiting == 1)
            single = Sender(live, "/detect?format=json", content=make_photo(light=150))
            wait_for(lambda: live.service.live.waiting == 2)
            stand_in.gates.release(3)
            assert single.answer().status_code == 200
            assert stand_in.lights[:3] == [100, 100, 150], "photos that were not begun overtook it"
        assert problems(batch.answer()) == [None] * 20


def test_two_batches_take_turns(start: Start, stand_in: OneByOne) -> None:
    with start(photos_open=3, workers=1) as live:
        with stand_in.holding():
            first = Sender(live, BATCH, files=form([make_photo(light=100)] * 8))
            wait_for(lambda: len(stand_in.lights) == 1)
            second = Sender(live, BATCH, files=form([make_photo(light=150)] * 2))
            wait_for(lambda: live.service.screener.admission.callers == 2)
            time.sleep(0.2)
            for begun in range(2, 9):
                stand_in.gates.release()
                wait_for(partial(lambda begun: len(stand_in.lights) == begun, begun))
            assert stand_in.lights.count(150) == 2, "the batch that came later waits for the end of the other"
        for batch in (first, second):
            assert set(problems(batch.answer())) == {None}


def test_all_batches_together_leave_a_permit_free(start: Start, stand_in: OneByOne, photo: bytes) -> None:
    with start(photos_open=3, workers=1) as live:
        with stand_in.holding():
            batches = [Sender(live, BATCH, files=form([photo] * 4)) for _ in range(2)]
            wait_for(lambda: live.service.live.waiting == 1 and live.service.screener.admission.callers == 2)
            time.sleep(0.2)
            # A photo that cannot be decoded needs a permit, though no detector.
            assert live.client.post("/detect", content=photo[:500], timeout=5).status_code == 422
        for batch in batches:
            assert problems(batch.answer()) == [None] * 4


def test_a_full_queue_refuses_new_batches_and_delays_accepted_ones(
    start: Start, stand_in: OneByOne, photo: bytes
) -> None:
    with start(photos_open=1, queue=2, batches_open=2) as live:
        with stand_in.holding():
            single = Sender(live, "/detect", content=photo)
            wait_for(lambda: len(stand_in.lights) == 1)
            batches = [Sender(live, BATCH, files=form([photo] * 6))]
            wait_for(lambda: live.service.screener.admission.callers == 2)
            batches.append(Sender(live, BATCH, files=form([photo] * 6)))
            wait_for(lambda: live.service.screener.admission.callers == 3)
            assert_problem(live.client.post(BATCH, files=form([photo])), 503, "overloaded")
        assert single.answer().status_code == 200
        for batch in batches:
            assert problems(batch.answer()) == [None] * 6
    with start(batches_open=1) as live:
        with stand_in.holding():
            batch = Sender(live, BATCH, files=form([photo] * 2))
            wait_for(lambda: live.service.screener.admission.callers == 1)
            answer = live.client.post(BATCH, files=form([photo]))
            assert "busy with 1 batches" in assert_problem(answer, 503, "overloaded")["detail"]
        assert problems(batch.answer()) == [None] * 2


@pytest.mark.slow
def test_the_deadline_applies_to_each_photo(start: Start, stand_in: OneByOne, photo: bytes) -> None:
    with start(deadline_s=2, photos_open=2, workers=1) as live:
        with stand_in.holding():
            batch = Sender(live, BATCH, files=form([photo] * 4))
            wait_for(lambda: len(stand_in.lights) == 1)
            time.sleep(2.2)
        assert problems(batch.answer()) == ["deadline-exceeded", None, None, None]


def test_a_failing_detector_fails_one_photo(
    live: Live, stand_in: OneByOne, photos: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(pixels: np.ndarray) -> Detections:
        if light_of(pixels) == 110:
            raise WorkerDied("it died")
        if light_of(pixels) == 130:
            raise RuntimeError("/srv/secret")
        return OneByOne.detect(stand_in, pixels)

    monkeypatch.setattr(stand_in, "detect", fail)
    answer = live.client.post(BATCH, files=form(photos))
    assert problems(answer) == [None, "worker-died", None, "internal-error", None]
    assert "secret" not in answer.text


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson", "application/zip"])
def test_a_client_that_leaves_cancels_photos_not_begun(
    start: Start, stand_in: OneByOne, photo: bytes, tmp_path: Path, accept: str
) -> None:
    with start(photos_open=3, audit=tmp_path / "audit") as live:
        calls = stand_in.calls
        with stand_in.holding(), socket.create_connection(("127.0.0.1", live.port)) as client:
            client.sendall(raw_request(live, [photo] * 10, accept))
            wait_for(lambda: len(stand_in.lights) == 1 and live.service.live.waiting == 1)
            client.close()
            wait_for(lambda: live.service.screener.admission.callers == 0)
        assert live.client.post("/detect", content=photo).status_code == 200
        assert stand_in.calls == calls + 2, "photos of the client that left were worked on"
        assert live.metric("caries_disconnected_total") == 1
        assert live.metric("caries_problems_total", type="internal-error") == 0
        begun = len(stand_in.lights)
        with stand_in.holding():
            batch = Sender(live, BATCH, files=form([photo] * 2))
            wait_for(lambda: len(stand_in.lights) == begun + 1 and live.service.live.waiting == 1)
        assert problems(batch.answer()) == [None, None], "all permits were given back"
    kept = [entry for entry in records(tmp_path / "audit") if entry["route"] == BATCH]
    assert [entry["status"] for entry in kept if "photo" in entry] == [499, 499, 200, 200]
    left, answered = [(entry["status"], entry["photos"]) for entry in kept if "photo" not in entry]
    assert left == (499 if accept == "application/json" else 200, 10)
    assert answered == (200, 2)


def raw_request(live: Live, photos: list[bytes], accept: str) -> bytes:
    made = live.client.build_request("POST", BATCH, files=form(photos), headers={"Accept": accept})
    body = made.read()
    head = "".join(f"{name}: {value}\r\n" for name, value in made.headers.items())
    return f"POST {BATCH} HTTP/1.1\r\n{head}\r\n".encode() + body


def test_a_client_that_leaves_while_it_sends(start: Start, photo: bytes, tmp_path: Path) -> None:
    with start(audit=tmp_path / "audit") as live:
        for accept in ("application/json", "application/x-ndjson"):
            with socket.create_connection(("127.0.0.1", live.port)) as client:
                client.sendall(raw_request(live, [photo] * 3, accept)[:-100])
                wait_for(lambda: live.service.screener.admission.callers == 1)
            wait_for(lambda: live.service.screener.admission.callers == 0)
        wait_for(lambda: live.metric("caries_requests_total", route=BATCH, method="POST", status="499") == 2)
        assert live.metric("caries_problems_total", type="internal-error") == 0
    assert [entry["status"] for entry in records(tmp_path / "audit")] == [499, 499]


def test_a_batch_that_arrives_slowly(start: Start, photo: bytes) -> None:
    with start(upload_s=0.3) as live, socket.create_connection(("127.0.0.1", live.port)) as client:
        client.sendall(raw_request(live, [photo], "*/*")[:-100])
        client.settimeout(5)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"upload-too-slow" in answer


@pytest.mark.slow
def test_a_client_that_does_not_fetch_its_answer(
    start: Start, photo: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("app.api.clients.STALL_S", 0.3)
    monkeypatch.setattr("app.api.clients.MIN_BYTES_PER_S", 10**12)
    with start(photos_open=2, audit=tmp_path / "audit") as live:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", live.port))
            client.sendall(raw_request(live, [make_photo(1600, 1200)] * 30, "application/zip"))
            wait_for(lambda: live.service.screener.admission.callers == 1)
            wait_for(lambda: live.service.screener.admission.callers == 0)
            assert live.client.post(BATCH, files=form([photo])).status_code == 200
        assert live.metric("caries_disconnected_total") == 1
    assert sum("photo" in entry for entry in records(tmp_path / "audit")) < 25


@pytest.mark.slow
def test_a_connection_buffers_one_piece_of_a_picture(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a batch lose pictures to itself, however many wait."""
    monkeypatch.setattr(live.service.screener.admission.pictures, "max_bytes", 1)
    noise = np.random.default_rng(0).integers(0, 256, (2500, 3000, 3), np.uint8)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", live.port))
        client.sendall(raw_request(live, [encode(noise, "image/png")] * 3, "application/zip"))
        wait_for(lambda: kept_bytes(live) > 4 * 22_000_000)
        time.sleep(0.2)
        (connection,) = [
            each
            for each in live.server.server_state.connections
            if isinstance(each, Protocol) and each.cycle and not each.cycle.response_complete
        ]
        assert 0 < connection.transport.get_write_buffer_size() < 2**20
        assert kept_bytes(live) > 4 * 22_000_000
        assert live.metric("caries_disconnected_total") == 0
    admission = live.service.screener.admission
    wait_for(lambda: admission.pictures.size == 0 and admission.callers == 0)


def test_every_photo_is_recorded_before_its_result(
    start: Start, photos: list[bytes], tmp_path: Path, stand_in: OneByOne
) -> None:
    _, key = KeyFile(tmp_path / "keys.json").add("reception", Role.DETECT)
    headers = {"Authorization": f"Bearer {key}", HEADER: "visit-7", **LINES}
    sent = [*photos[:2], b"x"]
    with start(audit=tmp_path / "audit", keys=tmp_path / "keys.json") as live:
        with live.client.stream("POST", BATCH, files=form(sent), headers=headers) as answer:
            for line in answer.iter_lines():
                index = json.loads(line)["index"]
                assert [entry["photo"] for entry in records(tmp_path / "audit") if entry.get("photo") == index]
        live.client.post(f"{BATCH}?max_boxes=1", files=form(sent[:1]), headers=headers | {"Accept": "*/*"})
    kept = records(tmp_path / "audit")
    assert {(entry["request"], entry["key"], entry["route"]) for entry in kept} == {("visit-7", "reception", BATCH)}
    first = {entry["photo"]: entry for entry in kept[:4] if "photo" in entry}
    assert [first[number]["status"] for number in (1, 2, 3)] == [200, 200, 415]
    assert [first[number]["problem"] for number in (1, 2, 3)] == [None, None, "unsupported-photo"]
    assert [first[number]["input_sha256"] for number in (1, 2, 3)] == [hashlib.sha256(one).hexdigest() for one in sent]
    assert (first[1]["verdict"], first[1]["boxes"], first[1]["model"]) == ("caries_suspected", 2, "stand-in/1")
    assert "verdict" not in first[3]
    assert kept[0]["photos"] == 3, "the line of the request itself comes before its answer begins"
    assert [(entry["photos"], entry["status"]) for entry in kept if "photos" in entry] == [(3, 200), (1, 200)]
    assert (kept[4]["boxes"], kept[4]["hidden"]) == (1, 1)


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
def test_a_request_that_cannot_be_recorded_is_not_answered(
    start: Start, photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    from app.records.audit import AuditLog

    written = AuditLog.append

    def fill(log: AuditLog, entry: dict[str, Any]) -> Any:
        if entry.get("photo") in failing:
            raise AuditError("the audit log cannot be written: No space left on device")
        return written(log, entry)

    monkeypatch.setattr(AuditLog, "append", fill)
    with start(audit=tmp_path / "audit") as live:
        failing: set[int | None] = {2}
        answer = live.client.post(BATCH, files=form([photo] * 3), headers={"Accept": accept})
        assert answer.status_code == 200
        assert answer.text.count("audit-failed") == 1
        assert answer.text.count('"verdict"') == 2
        failing = {None}
        answer = live.client.post(BATCH, files=form([photo] * 3), headers={"Accept": accept})
        assert_problem(answer, 503, "audit-failed")
        assert "verdict" not in answer.text


def test_file_names_appear_nowhere(
    start: Start, photo: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen = ""
    with start(audit=tmp_path / "audit") as live:
        for sent in ({"files": form([photo, b"x"])}, {"content": zipped([photo, b"x"]), "headers": ZIP}):
            for format in ("json", "ndjson", "zip"):
                answer = live.client.post(f"{BATCH}?format={format}", **sent)
                assert answer.status_code == 200
                seen += str(answer.headers) + answer.content.decode("latin-1")
        cut = zipped([photo])[:-5]
        seen += live.client.post(BATCH, content=cut, headers=ZIP).text + live.client.get("/metrics").text
    seen += "".join(path.read_text() for path in (tmp_path / "audit").iterdir())
    seen += "".join(entry.getMessage() for entry in caplog.records if not entry.name.startswith(("httpx", "httpcore")))
    assert NAME.lower() not in seen.lower()


def test_each_photo_counts_as_a_request(start: Start, photo: bytes) -> None:
    with start(requests_per_minute=6) as live:
        assert problems(live.client.post(BATCH, files=form([photo] * 5))) == [None] * 5
        assert live.client.post("/detect", content=photo).status_code == 200
        assert_problem(live.client.post("/detect", content=photo), 429, "too-many-requests")


def test_a_refused_batch_leaves_the_rest_of_the_minute(start: Start, photo: bytes) -> None:
    with start(requests_per_minute=6) as live:
        assert problems(live.client.post(BATCH, files=form([photo] * 2))) == [None] * 2
        assert_problem(live.client.post(BATCH, files=form([photo] * 5)), 429, "too-many-requests")
        assert live.metric("caries_verdicts_total", verdict="caries_suspected") == 2
        for _ in range(3):  # a refused batch counts as one request
            assert live.client.post("/detect", content=photo).status_code == 200
        assert_problem(live.client.post("/detect", content=photo), 429, "too-many-requests")


def test_a_batch_larger_than_the_limit_per_minute_is_too_large(start: Start, photo: bytes) -> None:
    with start(requests_per_minute=6) as live:
        for sent in ({"files": form([photo] * 7)}, {"content": zipped([photo] * 7), "headers": ZIP}):
            problem = assert_problem(live.client.post(BATCH, **sent), 413, "batch-too-large")
            assert "more than 6 photos" in problem["detail"]
        assert live.metric("caries_verdicts_total", verdict="caries_suspected") == 0


@pytest.mark.slow
@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
def test_an_accepted_batch_is_answered_during_shutdown(tmp_path: Path, photo: bytes, accept: str) -> None:
    write_bundle(tmp_path / "store")
    gate = tmp_path / "gate"
    answers: list[httpx.Response] = []

    def send() -> None:
        files, headers = form([photo] * 8), {"Accept": accept}
        answers.append(httpx.post(f"{server.address}{BATCH}", timeout=30, files=files, headers=headers))

    with running(tmp_path / "store", "--workers", "2", gate=gate) as server:
        sender = threading.Thread(target=send)
        sender.start()
        wait_for(lambda: in_hand(server) == 1)
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not listens(server))
        gate.touch()
        sender.join(30)
        assert answers[0].status_code == 200
        assert answers[0].text.count('"verdict"') == 8
        assert server.ends() == 0
        assert "Traceback" not in server.said


@pytest.mark.slow
def test_a_batch_cut_at_shutdown_is_recorded_as_answered(tmp_path: Path, photo: bytes) -> None:
    write_bundle(tmp_path / "store")
    gate, audit = tmp_path / "gate", tmp_path / "audit"
    answers: list[httpx.Response] = []

    def send() -> None:
        answers.append(httpx.post(f"{server.address}{BATCH}", timeout=30, files=form([photo] * 2)))

    with running(tmp_path / "store", "--shutdown-s", "0.5", "--audit", str(audit), gate=gate) as server:
        sender = threading.Thread(target=send)
        sender.start()
        wait_for(gate.with_name("begun").exists)
        server.process.send_signal(signal.SIGTERM)
        sender.join(30)
        assert_problem(answers[0], 503, "shutting-down")
        gate.touch()
        assert server.ends() == 0
    lines = records(audit)
    assert {(entry["status"], entry["problem"]) for entry in lines} == {(503, "shutting-down")}
    assert [entry["photos"] for entry in lines if "photo" not in entry] == [2]
    assert len(lines) > 1


def test_a_photo_that_cannot_be_unpacked_is_recorded(start: Start, photo: bytes, tmp_path: Path) -> None:
    sent = altered(archive_of([("a", photo), ("b", b"")]), "a", flags=1)
    with start(audit=tmp_path / "audit") as live:
        assert problems(live.client.post(BATCH, content=sent)) == ["unsupported-photo", "unreadable-photo"]
    first, second, _ = sorted(records(tmp_path / "audit"), key=lambda entry: entry.get("photo", 9))
    assert (first["problem"], "input_sha256" in first) == ("unsupported-photo", False)
    assert second["input_sha256"] == hashlib.sha256(b"").hexdigest()


def test_photos_still_waiting_when_the_client_left_are_not_recorded(
    start: Start, stand_in: OneByOne, photo: bytes, tmp_path: Path
) -> None:
    with start(photos_open=2, audit=tmp_path / "audit") as live, stand_in.holding():
        other = Sender(live, BATCH, files=form([photo]))
        wait_for(lambda: len(stand_in.lights) == 1)
        with socket.create_connection(("127.0.0.1", live.port)) as client:
            client.sendall(raw_request(live, [photo] * 3, "*/*"))
            wait_for(lambda: live.service.screener.admission.callers == 2)
            time.sleep(0.2)
        wait_for(lambda: live.service.screener.admission.callers == 1)
        stand_in.gates.release()
        other.answer()
    assert [entry["status"] for entry in records(tmp_path / "audit")] == [499, 200, 200]


def test_batch_before_the_warm_up(tmp_path: Path, stand_in: OneByOne, photo: bytes) -> None:
    write_bundle(tmp_path)
    with (
        stand_in.holding(),
        serving(Settings(model_store=tmp_path), load=lambda *_, **__: stand_in) as live,
    ):
        for accept in ("application/json", "application/x-ndjson"):
            answer = live.client.post(BATCH, files=form([photo]), headers={"Accept": accept})
            assert_problem(answer, 503, "not-ready")
        stand_in.gates.release(4)


def test_the_description(live: Live) -> None:
    described = live.client.get("/openapi.json").json()["paths"][BATCH]["post"]
    assert set(described["requestBody"]["content"]) == {"multipart/form-data", "application/zip", "application/dicom"}
    assert set(described["responses"]["200"]["content"]) == {
        *("application/json", "application/x-ndjson", "application/zip")
    }
    assert "413" in described["responses"]


def test_pictures_of_a_batch_open_anywhere(live: Live, photo: bytes) -> None:
    answer = live.client.post(BATCH, files=form([photo]), headers={"Accept": "application/zip"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        picture = Image.open(io.BytesIO(archive.read("0001.png")))
        picture.load()
    assert picture.format == "PNG"
