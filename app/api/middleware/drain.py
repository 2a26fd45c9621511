"""The last answers of a server that shuts down."""

from __future__ import annotations

import asyncio

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import Answer
from app.api.service import Service
from app.errors import ShuttingDown


class Drain:
    """ASGI middleware that closes connections after their answers, and refuses requests once the service is closed.

    A request that is cancelled then, because it ran out of time, is answered 503 as well, or cut off if its answer has
    begun.
    """

    def __init__(self, app: ASGIApp, *, service: Service, answer: Answer) -> None:
        self._app = app
        self._service = service
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        started = False

        async def send_and_close(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] == "http.response.start" and self._service.draining:
                headers = [(name, value) for name, value in message["headers"] if name.lower() != b"connection"]
                message = {**message, "headers": [*headers, (b"connection", b"close")]}
            await send(message)

        async def refuse(why: str) -> None:
            response = await self._answer(Request(scope), ShuttingDown(why))
            await response(scope, receive, send_and_close)

        if scope["type"] == "http" and self._service.closed:
            await refuse("the server is shutting down")
            return
        try:
            await self._app(scope, receive, send_and_close)
        except asyncio.CancelledError:
            if scope["type"] != "http" or not self._service.closed:
                raise
            if started:
                return  # uvicorn closes the connection
            await refuse("the server is shutting down and had no time left for the answer")
