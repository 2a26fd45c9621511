"""The server process: signals and the order of shutdown.

On SIGTERM or SIGINT readiness turns off. `drain_s` later the listener closes, and new requests on open connections are
refused. Accepted requests have `shutdown_s` to finish; the rest is answered 503. Then the models are closed. SIGHUP
reloads the models. A crash of native code in this process, such as most photo decoders, ends it immediately: the
container's restart policy starts it again.
"""

import asyncio
import gc
import math
import signal
import socket
import time
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from app.api.protocol import Protocol
from app.api.service import Service

TICK_S = 0.02
"""Seconds between checks of the requests in flight."""

CUT_S = 5.0
"""Seconds for the requests that ran out of time to be answered and recorded; a slow disk needs them."""


class Server(uvicorn.Server):
    """A uvicorn server that drains, for an application from `create_app`; `run` it in the main thread."""

    def __init__(self, app: FastAPI) -> None:
        self._service: Service = app.state.service
        settings = self._service.settings
        config = uvicorn.Config(
            app,
            http=Protocol,
            host=settings.host,
            port=settings.port,
            log_config=None,
            log_level=settings.log_level,
            access_log=False,  # clients' addresses and queries are private
            server_header=False,
            proxy_headers=False,  # clients could claim any address
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and reload on SIGHUP."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._service.reload_soon)
        await super().startup(sockets)
        # Objects that live as long as the server need no repeated garbage collection.
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down in the order that the module describes."""
        settings = self._service.settings
        was_ready = self._service.ready
        self._service.draining = True
        if was_ready:
            await self._until(time.monotonic() + settings.drain_s, lambda: False)
        for server in self.servers:
            server.close()
        self._service.closed = True
        end = time.monotonic() + settings.shutdown_s
        # uvicorn cuts idle connections immediately: a request on its way to one would get no answer.
        await self._until(end, lambda: not self.server_state.tasks)
        for task in self.server_state.tasks:
            task.cancel()
        await self._until(time.monotonic() + CUT_S, lambda: not self.server_state.tasks)
        self.config.timeout_graceful_shutdown = max(1, math.ceil(end - time.monotonic()))
        await super().shutdown(sockets)

    async def _until(self, end: float, done: Callable[[], bool]) -> None:
        """Return at `end`, when done, or when the operator insists with a second signal."""
        while not (done() or self.force_exit or time.monotonic() >= end):
            await asyncio.sleep(TICK_S)
