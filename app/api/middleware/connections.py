"""What connections may cost: how many there are, and how long a client may take to fetch its answer."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.types import Message, Send

from app.api.middleware.security_headers import HEADERS
from app.api.problems import MEDIA_TYPE, PROBLEMS
from app.errors import Overloaded

MOST = 512
"""Connections at once; half of the 1,024 files that a process may often open. Further ones are answered 503."""

TAKE_S = 60.0
"""Seconds that a client may take to fetch nothing of an answer before it loses the rest."""

SLOWEST = 2**17
"""Bytes a second of a large answer that a client has to fetch on the whole, but for the first `TAKE_S`."""

PIECE = 2**18
"""Bytes of a large answer that are handed to a connection at a time; it copies what its client has not fetched."""


def refusal() -> bytes:
    """The whole HTTP answer to a connection that is one too many."""
    problem = PROBLEMS[Overloaded]
    content = {**problem.as_dict(), "detail": f"{MOST} connections are open and no more are taken; try again shortly"}
    body = json.dumps(content).encode()
    headers = {
        **HEADERS,
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        "Retry-After": str(problem.retry_after_s),
        "Connection": "close",
    }
    head = f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.encode() + b"\r\n" + body


REFUSAL = refusal()


def in_pieces(send: Send) -> Send:
    """Sends bodies piece by piece, each when the one before was fetched, and ends when all of it was.

    What it gives raises TimeoutError for a client that is slower than `SLOWEST`. The connection holds a piece then, and
    not the answer, until the client is cut off.
    """

    async def send_in_pieces(message: Message) -> None:
        body = message.get("body", b"")
        async with asyncio.timeout(TAKE_S + len(body) / SLOWEST):
            for start in range(0, len(body), PIECE):
                await send({**message, "body": body[start : start + PIECE], "more_body": True})
            await send({**message, "body": b""} if body else message)

    return send_in_pieces


if TYPE_CHECKING:

    class _Protocol(asyncio.Protocol):
        """What uvicorn's protocols have in common."""

        transport: asyncio.Transport
        connections: set[Any]

else:
    _Protocol = object


class Bounded(_Protocol):
    """For uvicorn's protocols, to be named before them: refuses connections beyond `MOST`, and aborts those of clients
    that fetch nothing of their answer for `TAKE_S`, as an answer may hold many megabytes.
    """

    _taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        if len(self.connections) > MOST:
            transport.write(REFUSAL)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left, or was sent away."""
        self._stop_taking()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """More of an answer waits for the client than the system holds for it."""
        super().pause_writing()
        self._look_again(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The client has fetched most of it."""
        self._stop_taking()
        super().resume_writing()

    def _look_again(self, left: int) -> None:
        self._stop_taking()
        self._taking = asyncio.get_running_loop().call_later(TAKE_S, self._look, left)

    def _look(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left >= before:
            self.transport.abort()
        else:
            self._look_again(left)

    def _stop_taking(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None
