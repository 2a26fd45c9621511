"""Photos come from the configured Label Studio alone, in bounded time and size, however hostile it is."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.api.label_studio_photos import LabelStudioPhotos
from app.errors import InvalidParameter, LabelStudioError, PhotoTooLarge, SettingsError
from app.settings import Settings
from tests.app.api.hostile_server import HostileServer, hostile_server, http


@pytest.fixture
def studio() -> Iterator[HostileServer]:
    with hostile_server() as server:
        yield server


def photos(studio: HostileServer, **limits: Any) -> LabelStudioPhotos:
    return LabelStudioPhotos(studio.address, "secret", **{"max_bytes": 1000, "timeout_s": 5.0} | limits)


def test_a_photo_is_fetched_with_the_token(studio: HostileServer) -> None:
    studio.answers["/data/upload/1/a%20b.jpg"] = http(b"photo")
    studio.answers["/data/local-files/?d=set/a.jpg"] = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    )
    fetch = photos(studio).fetch
    assert fetch("/data/upload/1/a b.jpg") == fetch(f"{studio.address}/data/upload/1/a%20b.jpg") == b"photo"
    assert fetch("/data/local-files/?d=set/a.jpg") == b"ab"
    studio.answers["/tasks/7/resolve/?fileuri=czM6Ly9i"] = http(b"photo")
    assert fetch("/tasks/7/resolve/?fileuri=czM6Ly9i") == b"photo"
    assert len(studio.asked) == 4
    assert all("Authorization: Token secret\r\n" in head for head in studio.asked)
    assert all("Accept: */*\r\n" in head for head in studio.asked), "Label Studio answers 406 to image/*"


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:1/data/a.jpg",
        "https://127.0.0.1:{port}/data/a.jpg",
        "http://127.0.0.1:{port}@evil.example/data/a.jpg",
        "http://user@127.0.0.1:{port}/data/a.jpg",
        "//evil.example/data/a.jpg",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "ftp://127.0.0.1:{port}/a.jpg",
        "gopher://127.0.0.1:{port}/_x",
        "data:image/png;base64,AAAA",
        "s3://bucket/a.jpg",
        "data/upload/a.jpg",
        "/api/users",
        "/data",
        "/data/../api/users",
        "/data/%2e%2e/api/users",
        "/tasks/..%2fapi/users",
        "/data/..%5Capi/users",
        "http://[::1/a.jpg",
        "http://127.0.0.1:x/a.jpg",
        "/data/a.jpg\r\nHost: evil.example",
        "/data/" + 3000 * "a",
        "",
    ],
)
def test_no_other_address_is_asked(studio: HostileServer, address: str) -> None:
    with pytest.raises(
        InvalidParameter, match=r"^the photo's address is .*; it must be a path of /data/, .* on http://127"
    ):
        photos(studio).fetch(address.format(port=studio.port))
    assert studio.asked == []


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect"])
def test_redirects_are_not_followed(studio: HostileServer, status: str) -> None:
    with hostile_server({"/secret": http(b"secret")}) as elsewhere:
        for target in (f"{elsewhere.address}/secret", "/data/b.jpg"):
            studio.answers["/data/a.jpg"] = http(b"", status, Location=target)
            with pytest.raises(LabelStudioError, match=rf"with {status[:3]}; redirects are not followed$"):
                photos(studio).fetch("/data/a.jpg")
        assert elsewhere.asked == []
    assert len(studio.asked) == 2


def test_only_so_many_bytes_are_read(studio: HostileServer) -> None:
    studio.answers["/data/a.jpg"] = http(bytes(1000))
    assert len(photos(studio).fetch("/data/a.jpg")) == 1000

    def endless(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                handler.wfile.write(bytes(10_000))
        except OSError:
            pass

    for answer in (http(bytes(1001)), endless):
        studio.answers["/data/a.jpg"] = answer
        with pytest.raises(PhotoTooLarge, match="more than 1000 bytes"):
            photos(studio).fetch("/data/a.jpg")


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX-Y: ", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"])
def test_a_server_that_trickles_is_cut_off(studio: HostileServer, start: bytes) -> None:
    def trickle(handler: Any) -> None:
        try:
            handler.wfile.write(start)
            for _ in range(100):
                handler.wfile.write(b"x")
                time.sleep(0.1)
        except OSError:
            pass

    studio.answers["/data/a.jpg"] = trickle
    began = time.monotonic()
    with pytest.raises(LabelStudioError, match=r"within 0\.5 seconds|less of the photo"):
        photos(studio, timeout_s=0.5).fetch("/data/a.jpg")
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        http(b"", "401 Unauthorized"),
        http(b"", "500 Internal Server Error"),
    ],
)
def test_broken_answers(studio: HostileServer, answer: bytes) -> None:
    studio.answers["/data/a.jpg"] = answer
    with pytest.raises(LabelStudioError) as raised:
        photos(studio).fetch("/data/a.jpg")
    assert "secret" not in str(raised.value)
    with pytest.raises(LabelStudioError, match="cannot be reached"):
        LabelStudioPhotos("http://127.0.0.1:1", "t", max_bytes=9, timeout_s=1).fetch("/data/a")


def test_the_token_is_in_a_file(tmp_path: Path) -> None:
    address = "http://ls:8080"
    for content, text in (
        (None, "cannot be read"),
        (b"", "has no token"),
        (b"a\nb", "has no token"),
        (b"\xff", "read"),
    ):
        path = tmp_path / "token"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SettingsError, match=f"^CARIES_LABEL_STUDIO_TOKEN: .*{text}"):
            LabelStudioPhotos.from_settings(address, Settings(label_studio_token=path))
    with pytest.raises(SettingsError, match=r"^CARIES_LABEL_STUDIO is set and CARIES_LABEL_STUDIO_TOKEN is empty"):
        LabelStudioPhotos.from_settings(address, Settings())
    path.write_text("secret\n")
    assert LabelStudioPhotos.from_settings(address, Settings(label_studio_token=path))
