"""Uploads that are not a photo, too large or too slow."""

import socket
from typing import Any

import pytest

from tests.app.api.live_server import JSON, Live, Start, assert_problem, make_photo, wait_for, without_timings

FORM = {"Content-Type": "multipart/form-data; boundary=xx"}


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/mixed; boundary=x", "video/mp4", "nonsense"])
def test_content_type_of_something_else(live: Live, photo: bytes, content_type: str) -> None:
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


def test_a_photo_of_exactly_the_limit(start: Start) -> None:
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


def test_a_form_that_arrives_byte_by_byte(live: Live) -> None:
    photo = make_photo(64, 64)
    request = live.client.build_request("POST", "/detect", files={"file": ("a.jpg", photo)}, headers=JSON)
    body = request.read()

    def pieces():
        yield from (body[at : at + 1] for at in range(len(body)))

    sent = live.client.post(
        "/detect", content=pieces(), headers={**JSON, "Content-Type": request.headers["content-type"]}
    )
    whole = live.client.post("/detect", content=photo, headers=JSON)
    assert without_timings(sent) == without_timings(whole)


@pytest.mark.slow
def test_a_form_over_the_spool_size_stays_in_memory(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file was made")

    monkeypatch.setattr("tempfile._mkstemp_inner", refuse)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    photo = make_photo(1600, 1200, "PNG")
    padded = photo + bytes(3 * 2**20)
    assert live.client.post("/detect", files={"file": ("a.png", padded)}, headers=JSON).status_code == 200
