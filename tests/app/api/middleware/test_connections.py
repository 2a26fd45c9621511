"""Connections beyond a number, and clients that do not fetch their answers."""

import json
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn

from app.api.middleware import connections
from app.api.server import Protocol
from tests.app.api.live_server import wait_for

LARGE = bytes(64 * 2**20)
"""More than the system holds of an answer for a client."""


async def application(scope, receive, send) -> None:
    """Answers with much."""
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


def test_connections_beyond_a_number_are_refused_and_the_others_stay(server, monkeypatch) -> None:
    monkeypatch.setattr(connections, "MOST", 3)
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


def test_a_client_that_fetches_nothing_loses_its_answer(server, monkeypatch) -> None:
    monkeypatch.setattr(connections, "TAKE_S", 0.3)
    with connect(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: open_connections(server) == 1)
        wait_for(lambda: open_connections(server) == 0)


def test_a_slow_client_gets_all_of_it(server, monkeypatch) -> None:
    monkeypatch.setattr(connections, "TAKE_S", 0.3)
    with connect(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        fetched, started = 0, time.monotonic()
        while piece := client.recv(2**20):
            fetched += len(piece)
            if time.monotonic() - started < 1.5:
                time.sleep(0.05)
    assert fetched > len(LARGE)
