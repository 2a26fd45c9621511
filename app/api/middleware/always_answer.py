"""The last answers: to unexpected errors, and of a server that shuts down."""

import asyncio

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import Answer
from app.api.service import Service
from app.errors import ShuttingDown


class AlwaysAnswer:
    """ASGI middleware that answers what the application raises, and the requests of a service that is closed.

    Starlette's own handler raises the exception again, and uvicorn then drops the client's connection. Middleware
    inside this one may raise the errors of the table: the application's own handlers do not see those.

    While the service drains, connections close after their answers. Once it is closed, new requests are answered 503,
    and so are those that are cancelled because they ran out of time. An answer that has begun is cut off.
    """

    def __init__(self, app: ASGIApp, *, service: Service, answer: Answer) -> None:
        self._app = app
        self._service = service
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_and_close(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] == "http.response.start" and self._service.draining:
                headers = [(name, value) for name, value in message["headers"] if name.lower() != b"connection"]
                message = {**message, "headers": [*headers, (b"connection", b"close")]}
            await send(message)

        async def answer(error: Exception) -> None:
            response = await self._answer(Request(scope), error)
            await response(scope, receive, send_and_close)

        if self._service.closed:
            await answer(ShuttingDown("the server is shutting down"))
            return
        try:
            try:
                await self._app(scope, receive, send_and_close)
            except Exception as error:
                if started:
                    raise
                await answer(error)
        except asyncio.CancelledError:
            if not self._service.closed:
                raise
            if not started:  # otherwise uvicorn closes the connection
                await answer(ShuttingDown("the server is shutting down and had no time left for the answer"))
