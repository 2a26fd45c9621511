"""Every answered request is logged, counted and traced by route, method and status, under one id."""

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.context import KEY, RequestContext, method_of, route_of
from app.process import logs, tracing
from app.process.metrics import Metrics

logger = logging.getLogger(__name__)

HEADER = "X-Request-Id"
ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""A client's id that does not match is replaced, since ids appear in logs."""


class Observe:
    """ASGI middleware that creates the request's context, and logs, counts and traces the answer.

    The request id is the client's `X-Request-Id`, if acceptable, and is sent back.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sent = headers.get(HEADER, "")
        request_id = sent if ACCEPTED_ID.fullmatch(sent) else uuid.uuid4().hex
        scope.setdefault("state", {})[KEY] = RequestContext(request_id)
        status, started = 0, time.perf_counter()

        async def observe_and_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                method, route, status = method_of(scope), route_of(scope), message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
                self._metrics.request(route, method, status)
                describe(route, method, status)
            await send(message)

        token = logs.request_id.set(request_id)
        try:
            with tracing.request_span(headers) as describe:
                await self._app(scope, receive, observe_and_send)
        finally:
            _log(route_of(scope), method_of(scope), status, (time.perf_counter() - started) * 1000)
            logs.request_id.reset(token)


def _log(route: str, method: str, status: int, milliseconds: float) -> None:
    # Orchestrators ask for health every few seconds, which would drown all other lines.
    level = logging.DEBUG if "/health/" in route and status == 200 else logging.INFO
    milliseconds = round(milliseconds, 1)
    fields = {"method": method, "route": route, "status": status, "milliseconds": milliseconds}
    logger.log(level, "%s %s %d %.1f ms", method, route, status, milliseconds, extra=fields)
