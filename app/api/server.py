"""The server process: what it does on signals, and in which order it ends.

SIGTERM and SIGINT: readiness goes off; `drain_s` later the listener closes and further requests on open connections are
refused; requests that were accepted get `shutdown_s` to be answered; then the models are closed. SIGHUP reloads the
models. A crash of native code in this process, as of a photo's decoder, ends it at once: the container's restart policy
brings it back.
"""

from __future__ import annotations

import asyncio
import json
import math
import signal
import socket
import time
from collections.abc import Callable
from http import HTTPStatus

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.api.problems import MALFORMED, MEDIA_TYPE
from app.api.security_headers import HEADERS
from app.api.service import Service

TICK_S = 0.02
"""Seconds between looks at what is still being answered."""


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
    )
    return Server(config, service)


class Protocol(H11Protocol):
    """HTTP/1.1 that answers what is no HTTP as everything else is answered: with a problem, not with plain text."""

    def send_400_response(self, msg: str) -> None:
        """Answers a request that could not be parsed, and closes the connection."""
        answer = {**MALFORMED.as_dict(), "detail": "the bytes are not an HTTP/1.1 request, or its head is too long"}
        body = json.dumps(answer).encode()
        headers = [*HEADERS.items(), ("Content-Type", MEDIA_TYPE), ("Content-Length", str(len(body)))]
        response = h11.Response(
            status_code=MALFORMED.status,
            headers=[(name.encode(), value.encode()) for name, value in (*headers, ("Connection", "close"))],
            reason=HTTPStatus(MALFORMED.status).phrase.encode(),
        )
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class Server(uvicorn.Server):
    """A server that drains."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to listen, and to reload on SIGHUP."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._service.reload_soon)
        await super().startup(sockets)

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
        self.config.timeout_graceful_shutdown = max(1, math.ceil(end - time.monotonic()))
        await super().shutdown(sockets)

    async def _until(self, end: float, done: Callable[[], bool]) -> None:
        """Returns at the time `end`, when it is done, or when the operator insists."""
        while not (done() or self.force_exit or time.monotonic() >= end):
            await asyncio.sleep(TICK_S)
