"""A server whose answers are bytes of a test's choice, and which remembers what it was asked."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Answer = bytes | Callable[[Any], None]
"""The bytes to send before the connection is closed, or what to do with the handler."""


def http(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """An answer with its length."""
    fields = {"Content-Length": str(len(body)), **{name.replace("_", "-"): text for name, text in headers.items()}}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


class HostileServer:
    """A server on a free port.

    Attributes:
        answers: by path and query; others are answered 404.
        asked: the heads of the requests so far.
    """

    def __init__(self, port: int, answers: dict[str, Answer], asked: list[str]) -> None:
        self.port, self.answers, self.asked = port, answers, asked

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def hostile_server(answers: dict[str, Answer] | None = None) -> Iterator[HostileServer]:
    """A running server."""
    known, asked = answers if answers is not None else {}, []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = self.rfile.readline()
                if not line:
                    return
                head += line
            asked.append(head.decode())
            answer = known.get(head.split()[1].decode(), http(b"", "404 Not Found"))
            if isinstance(answer, bytes):
                self.wfile.write(answer)
            else:
                answer(self)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield HostileServer(server.server_address[1], known, asked)
        server.shutdown()
        thread.join()
