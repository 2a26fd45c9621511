"""Every error is answered with problem+json of one shape, from the one table."""

import io
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fastapi.exceptions import RequestValidationError
from PIL import Image

from app import errors
from app.admission import MAX_LARGE_PHOTOS
from app.api import problems
from app.photo.formats import PhotoFormat
from app.settings import Isolation
from tests.app.api.live_server import Live, StandIn, Start, make_photo, wait_for

GIF = b"GIF89a" + bytes(100)
FORM = {"Content-Type": "multipart/form-data; boundary=xx"}


def assert_problem(response: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    body: dict[str, Any] = response.json()
    assert list(body) == ["type", "title", "status", "detail"]
    assert body["type"] == f"/problems/{slug}"
    assert body["status"] == status
    assert body["title"] == problems.BY_SLUG[slug].title
    assert body["detail"]
    assert ("retry-after" in response.headers) == (status in (429, 503, 504))
    return body


@pytest.mark.parametrize("kind", [*problems.PROBLEMS, ZeroDivisionError])
def test_every_row_of_the_table(
    live: Live, photo: bytes, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    error = RequestValidationError([]) if kind is RequestValidationError else kind("secret.jpg")

    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(live.service.screener, "screen", fail)
    row = problems.problem_of(error)
    response = live.client.post("/detect", content=photo)
    if kind is not RequestValidationError:
        body = assert_problem(response, row.status, row.slug)
        if row.status == 500:
            assert "secret" not in response.text
        assert live.client.get(body["type"]).json()["title"] == row.title
    assert live.metric("caries_problems_total", type=row.slug) == 1
    assert live.metric("caries_requests_total", route="/detect", method="POST", status=str(row.status)) == 1


def test_every_error_that_can_reach_a_client_has_a_row_or_its_base_has() -> None:
    def leaves(kind: type[Exception]) -> Iterator[type[Exception]]:
        if kind.__subclasses__():
            for child in kind.__subclasses__():
                yield from leaves(child)
        else:
            yield kind

    for kind in leaves(errors.CariesError):
        if not issubclass(kind, errors.OperatorError):
            assert problems.problem_of(kind("x")).status < 500 or problems.problem_of(kind("x")).status in (503, 504), (
                kind
            )


@pytest.mark.parametrize(
    ("query", "sent", "status", "slug", "says"),
    [
        ("", {"content": b""}, 422, "unreadable-photo", "no bytes"),
        ("", {"files": {"file": ("a.jpg", b"")}}, 422, "unreadable-photo", "no bytes"),
        ("", {"content": b"hello"}, 415, "unsupported-photo", "not a known picture"),
        ("", {"content": GIF}, 415, "unsupported-photo", "GIF"),
        ("", {"content": make_photo()[:500]}, 422, "unreadable-photo", "JPEG"),
        ("", {"json": {"image": "..."}}, 415, "unsupported-media-type", "application/json"),
    ],
)
def test_bad_photo(live: Live, query: str, sent: dict[str, Any], status: int, slug: str, says: str) -> None:
    assert says in assert_problem(live.client.post(f"/detect{query}", **sent), status, slug)["detail"]


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/mixed; boundary=x", "video/mp4", "nonsense"])
def test_content_type_that_is_no_photo(live: Live, photo: bytes, content_type: str) -> None:
    response = live.client.post("/detect", content=photo, headers={"Content-Type": content_type})
    assert_problem(response, 415, "unsupported-media-type")


def test_compressed_body(live: Live, photo: bytes) -> None:
    response = live.client.post("/detect", content=photo, headers={"Content-Encoding": "gzip"})
    assert "gzip" in assert_problem(response, 415, "unsupported-media-type")["detail"]


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ({"files": {"image": ("a.jpg", b"x")}}, "'image'"),
        ({"files": {"file": (None, b"a.jpg")}}, "@photo.jpg"),
        ({"files": [("file", ("a.jpg", b"x")), ("file", ("b.jpg", b"x"))]}, "several"),
        ({"files": {"file": ("a.jpg", b"x")}, "data": {"threshold": "0.1"}}, "'threshold'"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, "boundary"),
        ({"content": b"", "headers": FORM}, "incomplete"),
        ({"content": b"--xx--\r\n", "headers": FORM}, "no field file"),
        ({"content": b"no boundary at all", "headers": FORM}, "malformed"),
        (
            {
                "content": b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nab',
                "headers": FORM,
            },
            "incomplete",
        ),
        ({"content": b"--xx\r\n" + 20 * b"A: b\r\n" + b"\r\n", "headers": FORM}, "malformed"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=" + 300 * "y"}}, "malformed"),
    ],
)
def test_bad_form(live: Live, sent: dict[str, Any], says: str) -> None:
    assert says in assert_problem(live.client.post("/detect", **sent), 400, "bad-form")["detail"]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("threshold=1.1", "threshold is '1.1'"),
        ("threshold=-0.1", "threshold"),
        ("threshold=nan", "threshold"),
        ("threshold=inf", "threshold"),
        ("threshold=high", "threshold is 'high'"),
        ("threshold=", "threshold"),
        ("max_boxes=0", "max_boxes is '0'"),
        ("max_boxes=101", "max_boxes"),
        ("max_boxes=2.5", "max_boxes"),
        ("classes=normal", "classes is 'normal'"),
        ("lang=fr", "lang is 'fr'"),
        ("format=gif", "format is 'gif'"),
        ("treshold=0.1", "did you mean threshold?"),
        ("Threshold=0.1", "did you mean threshold?"),
        ("maxboxes=3", "did you mean max_boxes?"),
        ("zzzz=3", "known are threshold, max_boxes, classes, lang, format, model"),
        ("threshold=0.1&threshold=0.9", "more than once"),
        ("lang=" + 500 * "x", "xxx..."),
    ],
)
def test_bad_parameter(live: Live, photo: bytes, query: str, says: str) -> None:
    body = assert_problem(live.client.post(f"/detect?{query}", content=photo), 422, "invalid-parameter")
    assert says in body["detail"]
    assert len(body["detail"]) < 300


def test_not_acceptable(live: Live, photo: bytes) -> None:
    response = live.client.post("/detect", content=photo, headers={"Accept": "text/html"})
    assert "image/png" in assert_problem(response, 406, "not-acceptable")["detail"]
    assert response.headers["vary"] == "Accept"


def test_unknown_address_and_method(live: Live) -> None:
    assert_problem(live.client.get("/nothing"), 404, "not-found")
    assert_problem(live.client.post("/detect/"), 404, "not-found")
    assert_problem(live.client.get("/problems/nothing"), 404, "not-found")
    response = live.client.get("/detect")
    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("form", [True, False], ids=["form", "raw"])
@pytest.mark.parametrize("length", [True, False], ids=["announced", "chunked"])
def test_too_many_bytes(start: Start, form: bool, length: bool) -> None:
    with start(max_bytes=100_000) as live:
        kind = {"files": {"file": ("a.jpg", bytes(8_000_000))}} if form else {"content": bytes(8_000_000)}
        request = live.client.build_request("POST", "/detect", **kind)
        body = request.read()

        def pieces():
            yield from (body[at : at + 65536] for at in range(0, len(body), 65536))

        headers = {"Content-Type": request.headers.get("content-type", "image/jpeg")}
        response = live.client.post("/detect", content=body if length else pieces(), headers=headers)
        assert "100000" in assert_problem(response, 413, "photo-too-large")["detail"]
        assert live.client.get("/health/ready").status_code == 200


def test_photo_of_exactly_the_limit(start: Start) -> None:
    photo = make_photo()
    with start(max_bytes=len(photo)) as live:
        for sent in ({"content": photo}, {"files": {"file": photo}}):
            assert live.client.post("/detect", **sent).status_code == 200
        for sent in ({"content": photo + b"\0"}, {"files": {"file": photo + b"\0"}}):
            assert_problem(live.client.post("/detect", **sent), 413, "photo-too-large")


def test_form_with_much_besides_the_photo(start: Start) -> None:
    part = b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--xx--'
    with start(max_bytes=10_000_000) as live:
        response = live.client.post("/detect", content=part + bytes(9_000_000), headers=FORM)
        assert "besides its photos" in assert_problem(response, 413, "photo-too-large")["detail"]


def test_too_many_pixels(start: Start, photo: bytes) -> None:
    with start(max_pixels=1000) as live:
        assert "320x240" in assert_problem(live.client.post("/detect", content=photo), 413, "photo-too-large")["detail"]


def test_overload_is_answered_at_once_and_passes(start: Start, stand_in: StandIn, photo: bytes) -> None:
    with start(queue=1, photos_open=1) as live:
        stand_in.gate.clear()
        answers: list[httpx.Response] = []
        senders = [
            threading.Thread(target=lambda: answers.append(live.client.post("/detect", content=photo)))
            for _ in range(2)
        ]
        for sender in senders:
            sender.start()
        wait_for(lambda: live.service.screener.admission.callers == 2)
        response = live.client.post("/detect", content=photo)
        assert_problem(response, 503, "overloaded")
        assert int(response.headers["retry-after"]) >= 1
        assert live.metric("caries_queue_depth") == 2
        stand_in.gate.set()
        for sender in senders:
            sender.join()
        assert [answer.status_code for answer in answers] == [200, 200]
        assert live.client.post("/detect", content=photo).status_code == 200


def test_few_large_photos_are_held_at_once_and_they_do_not_keep_others_waiting(
    start: Start, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.screen_photo.LARGE_PIXELS", 320 * 240 - 1)
    with start(photos_open=4, workers=4, isolation=Isolation.THREAD) as live, ThreadPoolExecutor(6) as clients:
        stand_in.gate.clear()
        calls = stand_in.calls
        large = [clients.submit(live.client.post, "/detect", content=make_photo()) for _ in range(4)]
        wait_for(lambda: live.service.screener.admission.callers == 4 and stand_in.calls == calls + MAX_LARGE_PHOTOS)
        small = [clients.submit(live.client.post, "/detect", content=make_photo(300, 240)) for _ in range(2)]
        wait_for(lambda: stand_in.calls == calls + MAX_LARGE_PHOTOS + 2)
        time.sleep(0.2)
        assert stand_in.calls == calls + MAX_LARGE_PHOTOS + 2
        stand_in.gate.set()
        answers = [sent.result() for sent in (*large, *small)]
        assert [answer.status_code for answer in answers] == [200] * 6
    with start(max_pixels=320 * 240 - 2) as live:
        response = live.client.post("/detect", content=make_photo())
        assert "320x240" in assert_problem(response, 413, "photo-too-large")["detail"]


def test_limits_of_settings_hold(start: Start, photo: bytes) -> None:
    with start(max_side=319) as live:
        assert (
            "319 a side" in assert_problem(live.client.post("/detect", content=photo), 413, "photo-too-large")["detail"]
        )
    with start(max_side=320, formats=(PhotoFormat.PNG, PhotoFormat.JPEG)) as live:
        assert live.client.post("/detect", content=photo).status_code == 200
    with start(formats=(PhotoFormat.PNG, PhotoFormat.WEBP)) as live:
        problem = assert_problem(live.client.post("/detect", content=photo), 415, "unsupported-photo")
        assert problem["detail"] == "JPEG files are not accepted; send PNG or WebP"
    frames = [Image.new("RGB", (320, 240), (shade, 90, 90)) for shade in (10, 90, 200)]
    out = io.BytesIO()
    frames[0].save(out, "PNG", save_all=True, append_images=frames[1:])
    with start(max_frames=2) as live:
        assert_problem(live.client.post("/detect", content=out.getvalue()), 413, "photo-too-large")
    with start(max_frames=3) as live:
        assert live.client.post("/detect", content=out.getvalue()).status_code == 200


def test_deep_json_is_refused(live: Live) -> None:
    for body in ("[" * 4000, '{"model":' * 400, "[" * 5000):
        assert_problem(live.client.post("/models/reload", content=body), 422, "invalid-parameter")


def test_deadline(start: Start, stand_in: StandIn, photo: bytes) -> None:
    with start(deadline_s=0.3) as live:
        stand_in.gate.clear()
        started = time.monotonic()
        assert "0.3" in assert_problem(live.client.post("/detect", content=photo), 504, "deadline-exceeded")["detail"]
        assert time.monotonic() - started < 2
        calls = stand_in.calls
        assert_problem(live.client.post("/detect", content=photo), 504, "deadline-exceeded")
        stand_in.gate.set()
        assert live.client.post("/detect", content=photo).status_code == 200
        assert stand_in.calls == calls + 1, "the photo whose deadline passed was worked on"


@pytest.mark.parametrize("address", ["/detect", "/detect/batch", "/models/reload"])
def test_slow_upload(start: Start, address: str) -> None:
    with start(upload_s=0.3) as live, socket.create_connection(("127.0.0.1", live.port)) as client:
        client.sendall(f"POST {address} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc".encode())
        client.settimeout(5)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"upload-too-slow" in answer
        wait_for(lambda: live.service.screener.admission.callers == 0)


@pytest.mark.parametrize("body", ["all", "half"])
def test_client_that_leaves(start: Start, stand_in: StandIn, photo: bytes, body: str) -> None:
    with start() as live:
        stand_in.gate.clear()
        calls = stand_in.calls
        blocker = threading.Thread(target=lambda: live.client.post("/detect", content=photo))
        blocker.start()
        wait_for(lambda: stand_in.calls == calls + 1)
        sent = photo if body == "all" else photo[:100]
        with socket.create_connection(("127.0.0.1", live.port)) as client:
            client.sendall(b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(photo) + sent)
            wait_for(lambda: live.service.screener.admission.callers == 2)
        wait_for(lambda: live.service.screener.admission.callers == 1)
        stand_in.gate.set()
        blocker.join()
        assert live.client.post("/detect", content=photo).status_code == 200
        assert stand_in.calls == calls + 2, "the photo of the client that left was worked on"
        assert live.metric("caries_problems_total", type="internal-error") == 0
        assert live.metric("caries_disconnected_total") == 1


def test_broken_detector_gives_500_and_the_server_lives_on(live: Live, stand_in: StandIn, photo: bytes) -> None:
    stand_in.failure = RuntimeError("/srv/secret")
    assert "secret" not in str(assert_problem(live.client.post("/detect", content=photo), 500, "internal-error"))
    stand_in.failure = None
    assert live.client.post("/detect", content=photo).status_code == 200


def test_no_name_is_logged(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for data in (make_photo(), GIF, b"x"):
        live.client.post("/detect?threshold=0.2", files={"file": ("HongGildong.jpg", data)})
    said = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert not any("Hong" in record.getMessage() or "threshold" in record.getMessage() for record in said)
