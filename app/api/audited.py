"""Every request that needs a key is on record before its answer leaves."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.access import needed_role
from app.api.problems import Answer
from app.api.request_log import method_of, route_of
from app.audit import AuditLog
from app.errors import AuditError
from app.screen_photo import ScreenedPhoto

UNRECORDED = "/metrics"
"""Asked for every few seconds by a program, and tells nothing about a photo."""


def note_photo(request: Request, sha256: str, screened: ScreenedPhoto | None = None) -> None:
    """Puts a photo on the request's record.

    Args:
        request: that the photo came with; one that brings several photos gets a line for each.
        sha256: of the photo as it was sent.
        screened: the answer, if there is one.
    """
    entry: dict[str, Any] = {"input_sha256": sha256}
    if screened is not None:
        bundle, screening = screened.bundle, screened.screening
        entry |= {
            "model": f"{bundle.name}/{bundle.version}",
            "model_sha256": bundle.sha256,
            "verdict": screening.verdict.value,
            "teeth_seen": screening.teeth_seen,
            "boxes": len(screening.shown),
            "hidden": screening.hidden_by_max_boxes,
        }
    if not hasattr(request.state, "photos"):
        request.state.photos = []
    request.state.photos.append(entry)


class AuditRequests:
    """ASGI middleware that writes a request's line, and only then lets its answer begin."""

    def __init__(self, app: ASGIApp, *, log: AuditLog, fsync: bool, answer: Answer) -> None:
        """Wraps an application.

        Args:
            app: what is audited.
            log: where the lines go.
            fsync: whether the log waits for the disk, which must not hold up other requests.
            answer: makes the answer of an error.
        """
        self._app, self._log, self._fsync, self._answer = app, log, fsync, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on; answers 503 in place of whatever cannot be put on record."""
        if scope["type"] != "http" or needed_role(scope["path"]) is None or scope["path"] == UNRECORDED:
            await self._app(scope, receive, send)
            return
        failure: AuditError | None = None

        async def record_and_send(message: Message) -> None:
            nonlocal failure
            if message["type"] == "http.response.start":
                try:
                    await self._record(scope, message["status"])
                except AuditError as error:
                    failure = error
            if failure is None:
                await send(message)

        await self._app(scope, receive, record_and_send)
        if failure is not None:
            response = await self._answer(Request(scope), failure)
            await response(scope, receive, send)

    async def _record(self, scope: Scope, status: int) -> None:
        state = scope["state"]
        line = {
            "request": state["request_id"],
            "key": state.get("key_name"),
            "method": method_of(scope),
            "route": route_of(scope),
            "status": status,
            "problem": state.get("problem"),
        }
        for photo in state.get("photos") or [{}]:
            if self._fsync:
                await asyncio.to_thread(self._log.append, line | photo)
            else:
                self._log.append(line | photo)
