"""Clients that leave, and clients that fetch their answers slowly."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request
from starlette.types import Message, Send

CLIENT_LEFT = 499
"""Status in metrics and logs for a client that left before its answer; nothing is sent."""

STALL_S = 60.0
"""Seconds without fetching a byte after which a client loses the rest of its answer."""

MIN_BYTES_PER_S = 2**17
"""Average rate at which a client has to fetch a large answer, after `STALL_S` of grace."""

PIECE_BYTES = 2**18
"""Bytes passed to a connection at a time; it buffers what its client has not fetched."""

T = TypeVar("T")


def in_pieces(send: Send) -> Send:
    """A `send` that passes bodies on in pieces, each once the previous one is fetched, and returns after the last.

    So the connection buffers one piece and not the entire answer. Raises TimeoutError for a client slower than
    `MIN_BYTES_PER_S`.
    """

    async def send_in_pieces(message: Message) -> None:
        body = message.get("body", b"")
        async with asyncio.timeout(STALL_S + len(body) / MIN_BYTES_PER_S):
            for start in range(0, len(body), PIECE_BYTES):
                await send({**message, "body": body[start : start + PIECE_BYTES], "more_body": True})
            await send({**message, "body": b""} if body else message)

    return send_in_pieces


async def unless_client_leaves(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`; None if the client leaves first, which cancels `work`. The body must have been read."""
    working = asyncio.ensure_future(work)
    # After the body, disconnection is all that the client can still send.
    leaving = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, leaving):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
