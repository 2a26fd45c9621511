"""Every request that needs a key is recorded before its answer is sent."""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.context import context_of, method_of, route_of
from app.api.middleware.access import needed_role
from app.api.problems import Answer, problem_of
from app.errors import AuditError
from app.records.audit import AuditLog
from app.screen_photo import ScreenedPhoto

logger = logging.getLogger(__name__)

UNRECORDED = "/metrics"
"""Read every few seconds by a program, and says nothing about a photo."""

TALLY_S = 10.0
"""Seconds between two lines of the same refusal, see `RefusalTally`: at most 4 MB a day."""


async def note_photo(request: Request, data: bytes | None, screened: ScreenedPhoto | None = None) -> None:
    """Add the photo, as sent, and its answer, if any, to the line of its request."""
    context = context_of(request.scope)
    if context.record is not None:
        context.audit_fields = await _fields(data, screened)


async def record_photo(
    request: Request,
    number: int,
    data: bytes | None,
    *,
    status: int = 200,
    failure: Exception | None = None,
    screened: ScreenedPhoto | None = None,
    photo_id: int | None = None,
) -> None:
    """Write the line of one photo of a batch, if its request is audited; before any of its answer is sent.

    Args:
        number: the photo's position in the batch, from 1.
        data: the photo as sent; None if it could not be unpacked.
        status: without a failure, the status that the photo alone would have had.
        photo_id: its number in the review store, if it is kept.

    Raises:
        AuditError: the line cannot be written.
    """
    record = context_of(request.scope).record
    if record is not None:
        problem = problem_of(failure) if failure else None
        own: dict[str, Any] = {"photo": number, "status": problem.status if problem else status}
        own |= {} if photo_id is None else {"photo_id": photo_id}
        await record(own | {"problem": problem.slug if problem else None} | await _fields(data, screened))


async def _fields(data: bytes | None, screened: ScreenedPhoto | None) -> dict[str, Any]:
    if screened is None:
        if data is None:
            return {}
        # In a thread, since a large photo takes some 20 ms.
        return {"input_sha256": await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())}
    bundle, screening = screened.bundle, screened.screening
    return {
        "input_sha256": screened.sha256,
        "model": f"{bundle.name}/{bundle.version}",
        "model_sha256": bundle.sha256,
        "operating_point": screened.operating_point.name,
        "verdict": screening.verdict.value,
        "teeth_seen": screening.teeth_seen,
        "boxes": len(screening.shown),
        "hidden": screening.hidden_by_max_boxes,
    }


class RefusalTally:
    """Refused requests of unknown clients: a line with their number every `TALLY_S` per problem and event.

    The first one is recorded before its answer is sent, like any other request. A line for each further one would let
    unknown clients fill the disk.
    """

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._problems: dict[tuple[str, str | None], _ProblemTally] = {}

    def count(self, line: Mapping[str, Any]) -> dict[str, Any] | None:
        """Count a refusal; the line to write now, or None if it is written later."""
        kind = line["problem"], line.get("event")
        return self._problems.setdefault(kind, _ProblemTally(self._log)).count(line)

    async def close(self) -> None:
        """Write what is counted and not yet written."""
        for tally in self._problems.values():
            await tally.close()


class _ProblemTally:
    """The refusals of one problem and event."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._due = 0.0
        self._count = 0
        self._latest: dict[str, Any] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None

    def count(self, line: Mapping[str, Any]) -> dict[str, Any] | None:
        loop = asyncio.get_running_loop()
        if loop.time() >= self._due and self._timer is None:
            self._due = loop.time() + TALLY_S
            return {**line, "requests": 1}
        self._count += 1
        self._latest = dict(line)
        if self._timer is None:
            self._timer = loop.call_at(self._due, self._write_soon)
        return None

    async def close(self) -> None:
        if self._timer is not None:
            self._write_soon()
        if self._writing is not None:
            await self._writing

    def _write_soon(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._timer is not None
        self._timer.cancel()
        self._timer, self._due = None, loop.time() + TALLY_S
        line, self._count = {**self._latest, "requests": self._count}, 0
        # In a thread, since it may wait for the disk.
        self._writing = loop.run_in_executor(None, self._write, line)

    def _write(self, line: dict[str, Any]) -> None:
        try:
            self._log.append(line)
        except AuditError as error:
            logger.error("%s: %d refused requests (%d) are not recorded", error, line["requests"], line["status"])


class AuditRequests:
    """ASGI middleware that writes a request's line and only then lets its answer begin.

    It fills in `record` and `record_in_thread` of the request's context.
    """

    def __init__(self, app: ASGIApp, *, log: AuditLog, tally: RefusalTally, fsync: bool, answer: Answer) -> None:
        """Write to `log`, which waits for the disk if `fsync`. The caller closes `tally` before the log."""
        self._app, self._log, self._tally, self._fsync, self._answer = app, log, tally, fsync, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != "http"
            or needed_role(scope["method"], scope["path"]) is None
            or scope["path"] == UNRECORDED
        ):
            await self._app(scope, receive, send)
            return
        failure: AuditError | None = None
        context = context_of(scope)
        context.record, context.record_in_thread = partial(self._record, scope), partial(self._record_in_thread, scope)

        async def record_and_send(message: Message) -> None:
            nonlocal failure
            if message["type"] == "http.response.start":
                entry = {"status": message["status"], "problem": context.problem} | context.audit_fields
                count = self._tally.count if context.refused_unknown else None
                try:
                    await self._record(scope, entry, count)
                except AuditError as error:
                    failure = error
            if failure is None:
                await send(message)

        await self._app(scope, receive, record_and_send)
        if failure is not None:
            response = await self._answer(Request(scope), failure)
            await response(scope, receive, send)

    async def _record(
        self,
        scope: Scope,
        entry: Mapping[str, Any],
        count: Callable[[dict[str, Any]], dict[str, Any] | None] | None = None,
    ) -> None:
        """Write a line, or the one that `count` makes of it, if any."""
        line = _line(scope, entry)
        written = count(line) if count else line
        if written is None:
            return
        if self._fsync:
            await _finish(asyncio.get_running_loop().run_in_executor(None, self._log.append, written))
        else:
            self._log.append(written)

    def _record_in_thread(self, scope: Scope, entry: Mapping[str, Any]) -> None:
        self._log.append(_line(scope, entry))


def _line(scope: Scope, entry: Mapping[str, Any]) -> dict[str, Any]:
    context = context_of(scope)
    about = {"request": context.request_id, "key": context.key_name}
    return {**about, "method": method_of(scope), "route": route_of(scope), **entry}


async def _finish(writing: asyncio.Future[Any]) -> None:
    """Wait for a line even if the caller is cancelled meanwhile, and carry on: recorded requests are answered."""
    while not writing.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(writing)
    writing.result()
