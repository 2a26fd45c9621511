"""HTTP below the application: malformed, late and unusual requests, too many connections, stalled clients."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import uvicorn

from app.api import protocol
from app.api.protocol import MAX_HEAD_BYTES, Protocol
from tests.app.api.live_server import Live, make_photo, wait_for

LARGE = bytes(64 * 2**20)
"""More than the system buffers of an answer."""

GET = b"GET /health/live HTTP/1.1\r\nHost: a\r\n"


@contextmanager
def connected(live: Live) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", live.port), timeout=10) as connection:
        yield connection


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the next answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(1) or pytest.fail(f"closed after {data!r}")
    lines = data.decode().splitlines()
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:-1])}
    length, body = int(headers["content-length"]), b""
    while len(body) < length:
        body += connection.recv(length - len(body)) or pytest.fail("closed within a body")
    return int(lines[0].split()[1]), headers, body


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has closed it, with nothing more to read."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "bytes_sent",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param(b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", id="unknown version"),
        pytest.param(b"INVENTED /detect HTTP/1.1\r\nHost: a\r\n\r\n", id="invented method"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="no host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", id="two hosts"),
        pytest.param(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", id="space in a name"),
        pytest.param(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", id="bytes in the address"),
        pytest.param(GET + b"X: " + b"a" * (MAX_HEAD_BYTES + 9) + b"\r\n\r\n", id="long header, whole"),
        pytest.param(GET + b"X: " + b"a" * (MAX_HEAD_BYTES + 2**19), id="long header, without an end"),
        pytest.param(GET + b"a: b\r\n" * MAX_HEAD_BYTES, id="many headers"),
        pytest.param(b"GET /" + b"a" * (MAX_HEAD_BYTES + 9) + b" HTTP/1.1\r\nHost: a\r\n\r\n", id="long address"),
        pytest.param(b"\r\n" * (MAX_HEAD_BYTES + 9), id="empty lines"),
        pytest.param(
            b"POST /detect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
            id="two lengths",
        ),
        pytest.param(
            b"POST /detect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="no size of a chunk"
        ),
        pytest.param(
            b"POST /detect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: "
            + b"a" * (MAX_HEAD_BYTES + 2**19),
            id="long trailer",
        ),
    ],
)
def test_malformed_bytes_get_a_problem_and_end_the_connection(live: Live, bytes_sent: bytes) -> None:
    with connected(live) as connection:
        # The server closes while the client still sends.
        try:
            connection.sendall(bytes_sent)
            status, headers, body = read_answer(connection)
        except ConnectionError:
            assert len(bytes_sent) > MAX_HEAD_BYTES
            return
        assert (status, headers["content-type"], headers["connection"]) == (400, "application/problem+json", "close")
        assert json.loads(body)["type"] == "/problems/malformed-request"
        assert headers["x-content-type-options"] == "nosniff"
        assert is_closed(connection)


def test_a_head_just_below_the_limit_is_accepted(live: Live) -> None:
    with connected(live) as connection:
        connection.sendall(GET + b"X: " + b"a" * (MAX_HEAD_BYTES - 200) + b"\r\n\r\n")
        assert read_answer(connection)[0] == 200


def test_one_connection_serves_several_requests_with_empty_lines_between(live: Live) -> None:
    with connected(live) as connection:
        for _ in range(3):
            connection.sendall(b"\r\n" + GET + b"\r\n")
            assert read_answer(connection)[0] == 200


def test_pipelined_requests_are_answered_in_order(live: Live) -> None:
    photo = make_photo()
    post = b"POST /detect?format=json HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\n"
    with connected(live) as connection:
        connection.sendall(post + f"Content-Length: {len(photo)}\r\n\r\n".encode() + photo + GET + b"\r\n")
        status, _, body = read_answer(connection)
        assert (status, "verdict" in json.loads(body)) == (200, True)
        status, _, body = read_answer(connection)
        assert (status, json.loads(body)) == (200, {"status": "live"})


@pytest.mark.slow
@pytest.mark.parametrize(
    "beginning",
    [b"", b"G", GET, b"\r\n\r\n"],
    ids=["nothing", "a letter", "a head without an end", "empty lines"],
)
@pytest.mark.parametrize("earlier", [0, 1], ids=["first", "behind another"])
def test_an_incomplete_head_ends_the_connection(live: Live, beginning: bytes, earlier: int, monkeypatch) -> None:
    monkeypatch.setattr(Protocol, "max_head_s", 0.3)
    with connected(live) as connection:
        for _ in range(earlier):
            connection.sendall(GET + b"\r\n")
            assert read_answer(connection)[0] == 200
        started = time.monotonic()
        connection.sendall(beginning)
        assert is_closed(connection)
        # An idle kept-alive connection has uvicorn's five seconds.
        assert 0.2 < time.monotonic() - started < (10 if earlier and not beginning else 4)


def test_a_head_that_trickles_in_ends_the_connection(live: Live, monkeypatch) -> None:
    monkeypatch.setattr(Protocol, "max_head_s", 0.5)
    started = time.monotonic()
    with connected(live) as connection:
        connection.sendall(GET + b"X: ")
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - started < 5:
                connection.sendall(b"a")
                time.sleep(0.05)
    assert 0.4 < time.monotonic() - started < 4


def test_a_body_may_take_longer_than_a_head(live: Live, monkeypatch) -> None:
    monkeypatch.setattr(Protocol, "max_head_s", 0.3)
    photo = make_photo()
    with connected(live) as connection:
        head = f"POST /detect?format=json HTTP/1.1\r\nHost: a\r\nContent-Length: {len(photo)}\r\n\r\n"
        connection.sendall(head.encode() + photo[:100])
        time.sleep(0.8)
        connection.sendall(photo[100:])
        assert read_answer(connection)[0] == 200


async def application(scope, receive, send) -> None:
    """A large answer to every request."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(LARGE))]})
    await send({"type": "http.response.body", "body": LARGE})


@pytest.fixture
def server() -> Iterator[uvicorn.Server]:
    config = uvicorn.Config(application, port=0, http=Protocol, lifespan="off", log_config=None, log_level="critical")
    started = uvicorn.Server(config)
    thread = threading.Thread(target=started.run)
    thread.start()
    wait_for(lambda: started.started)
    yield started
    started.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


def connect(server: uvicorn.Server) -> socket.socket:
    return socket.create_connection(server.servers[0].sockets[0].getsockname(), timeout=10)


def open_connections(server: uvicorn.Server) -> int:
    return len(server.server_state.connections)


def test_connections_beyond_the_limit_are_refused_and_others_stay(server, monkeypatch) -> None:
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 3)
    held = [connect(server) for _ in range(3)]
    wait_for(lambda: open_connections(server) == 3)
    with connect(server) as further:
        answer = b""
        while piece := further.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"Retry-After: 1" in head
    assert json.loads(body)["type"] == "/problems/overloaded"
    held.pop().close()
    wait_for(lambda: open_connections(server) == 2)
    port = server.servers[0].sockets[0].getsockname()[1]
    assert len(httpx.get(f"http://127.0.0.1:{port}/", timeout=30).content) == len(LARGE)
    for client in held:
        client.close()


def test_a_stalled_client_loses_its_answer(server, monkeypatch) -> None:
    monkeypatch.setattr(protocol, "STALL_S", 0.3)
    with connect(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: open_connections(server) == 1)
        wait_for(lambda: open_connections(server) == 0)


def test_a_slow_client_gets_its_entire_answer(server, monkeypatch) -> None:
    monkeypatch.setattr(protocol, "STALL_S", 0.3)
    with connect(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        fetched, started = 0, time.monotonic()
        while piece := client.recv(2**20):
            fetched += len(piece)
            if time.monotonic() - started < 1.5:
                time.sleep(0.05)
    assert fetched > len(LARGE)
