"""The server process: what it does on signals, and in which order it ends.

SIGTERM and SIGINT: readiness goes off; `drain_s` later the listener closes and further requests on open connections are
refused; requests that were accepted get `shutdown_s` to be answered, and what is left is answered 503; then the models
are closed. SIGHUP reloads the models. A crash of native code in this process, as of most photos' decoders, ends it at
once: the container's restart policy brings it back.
"""

from __future__ import annotations

import asyncio
import gc
import json
import math
import signal
import socket
import time
from collections.abc import Callable
from http import HTTPStatus

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.api.middleware.connections import Bounded
from app.api.middleware.security_headers import HEADERS
from app.api.problems import MALFORMED, MEDIA_TYPE
from app.api.service import Service

TICK_S = 0.02
"""Seconds between looks at what is still being answered."""

CUT_S = 5.0
"""Seconds in which requests that had no more time are answered and on record; a slow disk takes them."""

HEAD_S = 10.0
"""Seconds in which the head of a request has to arrive, from the connection or its first byte on."""

HEAD_BYTES = 64 * 2**10
"""Longest head of a request, and most bytes between one part of a body and the next: trailers, chunk extensions."""


def make_server(app: FastAPI) -> Server:
    """The server of an application that `create_app` made; `run` it in the main thread."""
    service: Service = app.state.service
    settings = service.settings
    config = uvicorn.Config(
        app,
        http=Protocol,
        host=settings.host,
        port=settings.port,
        log_config=None,
        log_level=settings.log_level,
        access_log=False,  # addresses and queries of clients are nobody's business
        server_header=False,
        proxy_headers=False,  # an address that a client names is not its own
    )
    return Server(config, service)


class Protocol(Bounded, HttpToolsProtocol):
    """HTTP/1.1 whose heads have to end in time and before they are long, and that answers what is no HTTP as everything
    else is answered: with a problem, not with plain text.
    """

    head_s = HEAD_S
    _bare_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected, and has to ask for something."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left, or was sent away."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes what the client sent."""
        self._bare_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._bare_bytes > HEAD_BYTES:
            self.send_400_response("too much that is neither a whole head nor a body")
        elif self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()  # empty lines between requests end the wait for the next one, and begin none

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        """The head of a request has ended.

        Raises:
            ValueError: it is too long, of another version than 1.0 and 1.1, or of 1.1 and does not name one host (RFC
                9112, 3.2).
        """
        self._stop_timer()
        self._bare_bytes = 0
        version = self.parser.get_http_version()
        hosts = sum(name == b"host" for name, _ in self.headers)
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > HEAD_BYTES or version not in ("1.0", "1.1") or hosts > 1 or (version == "1.1" and not hosts):
            raise ValueError
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a request's body."""
        self._bare_bytes = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Answers what is no request, unless an answer has begun already, and closes the connection."""
        self._stop_timer()
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(_MALFORMED_ANSWER)
        self.transport.close()

    def _expect_head(self) -> None:
        self._stop_timer()
        self._bare_bytes = 0
        self._head_timer = self.loop.call_later(self.head_s, self._close_late)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close_late(self) -> None:
        """Closes without an answer: browsers connect ahead of requests that they may never send."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._expect_head()  # what is late was sent behind a request that is still being answered
            return
        self._head_timer = None
        self.transport.close()


def _malformed_answer() -> bytes:
    answer = {**MALFORMED.as_dict(), "detail": "the bytes are not an HTTP/1.1 request, or its head is too long"}
    body = json.dumps(answer)
    headers = {**HEADERS, "Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    status = f"HTTP/1.1 {MALFORMED.status} {HTTPStatus(MALFORMED.status).phrase}\r\n"
    return f"{status}{''.join(lines)}\r\n{body}".encode()


_MALFORMED_ANSWER = _malformed_answer()


class Server(uvicorn.Server):
    """A server that drains."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to listen, and to reload on SIGHUP."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._service.reload_soon)
        await super().startup(sockets)
        # What lives as long as the server needs not be looked through for garbage again and again.
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends in the order that the module describes."""
        settings = self._service.settings
        was_ready = self._service.ready
        self._service.drain()
        if was_ready:
            await self._until(time.monotonic() + settings.drain_s, lambda: False)
        for server in self.servers:
            server.close()
        self._service.close()
        end = time.monotonic() + settings.shutdown_s
        # uvicorn cuts idle connections at once, and a request that is on its way to one would get no answer.
        await self._until(end, lambda: not self.server_state.tasks)
        for task in self.server_state.tasks:
            task.cancel()
        await self._until(time.monotonic() + CUT_S, lambda: not self.server_state.tasks)
        self.config.timeout_graceful_shutdown = max(1, math.ceil(end - time.monotonic()))
        await super().shutdown(sockets)

    async def _until(self, end: float, done: Callable[[], bool]) -> None:
        """Returns at the time `end`, when it is done, or when the operator insists."""
        while not (done() or self.force_exit or time.monotonic() >= end):
            await asyncio.sleep(TICK_S)
