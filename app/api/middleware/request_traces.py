"""A trace of every request, where tracing is on."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.middleware.request_log import method_of, route_of
from app.process.tracing import request_span


class TraceRequests:
    """ASGI middleware that puts each request into a span with its method, route and status, and nothing else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with request_span(Headers(scope=scope)) as span:

            async def note_and_send(message: Message) -> None:
                if message["type"] == "http.response.start":
                    method, route, status = method_of(scope), route_of(scope), message["status"]
                    span.update_name(f"{method} {route}")
                    span.set_attributes(
                        {"http.request.method": method, "http.route": route, "http.response.status_code": status}
                    )
                await send(message)

            await self._app(scope, receive, note_and_send)
