"""An id for every request, and a line in the log when it is answered."""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.process.logs import request_id

logger = logging.getLogger(__name__)

HEADER = "X-Request-Id"
ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What a client's own id may be; any other is replaced, as it will stand in logs."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods called by name; a client's inventions are all `other`, so that they can fill neither memory nor logs."""


def method_of(scope: Scope) -> str:
    """The request's method, or `other`."""
    method: str = scope["method"]
    return method if method in METHODS else "other"


def route_of(scope: Scope) -> str:
    """The pattern of the request's route, never the address that was asked for; `unmatched` if it has none."""
    path: str = getattr(scope.get("route"), "path", "unmatched")
    return path


class LogRequests:
    """ASGI middleware that gives each request an id and logs its answer: route, method, status and time.

    The id is the client's `X-Request-Id` if that is acceptable. It goes into the scope's state as `request_id`, and
    into the answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope).get(HEADER, "")
        identity = sent if ACCEPTED.fullmatch(sent) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = identity
        status, started = 0, time.perf_counter()

        async def identify_and_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = identity
            await send(message)

        token = request_id.set(identity)
        try:
            await self._app(scope, receive, identify_and_send)
        finally:
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            method, route = method_of(scope), route_of(scope)
            # Orchestrators ask for health every few seconds, which would bury everything else.
            level = logging.DEBUG if route.startswith("/health/") and status == 200 else logging.INFO
            logger.log(
                level,
                "%s %s %d %.1f ms",
                method,
                route,
                status,
                milliseconds,
                extra={"method": method, "route": route, "status": status, "milliseconds": milliseconds},
            )
            request_id.reset(token)
