"""HTTP/1.1 below the application: bounds on connections, request heads and stalled clients."""

import asyncio
import json
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.api.clients import STALL_S
from app.api.middleware.security_headers import HEADERS
from app.api.problems import MALFORMED, MEDIA_TYPE, PROBLEMS, Problem
from app.errors import Overloaded

MAX_CONNECTIONS = 512
"""Half of the 1,024 files that a process may usually open. Further connections are answered 503."""

MAX_HEAD_S = 10.0
"""Seconds for the head of a request, from the connection or its first byte."""

MAX_HEAD_BYTES = 64 * 2**10
"""Length of a request's head, and of what may come between parts of a body: trailers, chunk extensions."""


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with bounds.

    Connections beyond `MAX_CONNECTIONS` are refused, heads that are late or too long end the connection, and so does a
    client that fetches nothing of its answer for `STALL_S`, since answers may have many megabytes. Bytes that are not
    HTTP are answered with a problem and not with plain text.
    """

    max_head_s = MAX_HEAD_S
    _bytes_without_progress = 0
    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse the connection, or wait for its first request."""
        super().connection_made(transport)
        self._expect_head()
        if len(self.connections) > MAX_CONNECTIONS:
            detail = f"{MAX_CONNECTIONS} connections are open, the maximum; try again shortly"
            transport.write(_answer(PROBLEMS[Overloaded], detail))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_stall_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._bytes_without_progress += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._bytes_without_progress > MAX_HEAD_BYTES:
            self.send_400_response("too many bytes without a complete head or a part of a body")
        elif self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()  # empty lines end uvicorn's wait for the next request without beginning one

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        """The head of a request is complete.

        Raises:
            ValueError: it is too long, neither HTTP/1.0 nor 1.1, or HTTP/1.1 without exactly one Host (RFC 9112, 3.2).
        """
        self._stop_head_timer()
        self._bytes_without_progress = 0
        version = self.parser.get_http_version()
        hosts = sum(name == b"host" for name, _ in self.headers)
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > MAX_HEAD_BYTES or version not in ("1.0", "1.1") or hosts > 1 or (version == "1.1" and not hosts):
            raise ValueError
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._bytes_without_progress = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not a request, unless an answer has begun, and close the connection."""
        self._stop_head_timer()
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            detail = "the bytes are not an HTTP/1.1 request, or its head is too long"
            self.transport.write(_answer(MALFORMED, detail))
        self.transport.close()

    def pause_writing(self) -> None:
        """More of an answer waits for the client than the system buffers."""
        super().pause_writing()
        self._watch_for_stall(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._stop_stall_timer()
        super().resume_writing()

    def _expect_head(self) -> None:
        self._stop_head_timer()
        self._bytes_without_progress = 0
        self._head_timer = self.loop.call_later(self.max_head_s, self._close_late)

    def _close_late(self) -> None:
        """Close without an answer: browsers open connections for requests that they may never send."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._expect_head()  # the late head belongs to a request behind one that is still being answered
            return
        self._head_timer = None
        self.transport.close()

    def _watch_for_stall(self, waiting: int) -> None:
        self._stop_stall_timer()
        self._stall_timer = self.loop.call_later(STALL_S, self._abort_if_stalled, waiting)

    def _abort_if_stalled(self, before: int) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting >= before:
            self.transport.abort()
        else:
            self._watch_for_stall(waiting)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()


def _answer(problem: Problem, detail: str) -> bytes:
    """A complete HTTP answer, for a connection that has no request."""
    body = json.dumps({**problem.as_dict(), "detail": detail})
    headers = {**HEADERS, "Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), "Connection": "close"}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(problem.retry_after_s)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\n{lines}\r\n{body}".encode()
