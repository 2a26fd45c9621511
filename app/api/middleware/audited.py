"""Every request that needs a key is on record before its answer leaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.context import context_of
from app.api.middleware.access import needed_role
from app.api.middleware.observe import method_of, route_of
from app.api.problems import Answer
from app.errors import AuditError
from app.records.audit import AuditLog
from app.screen_photo import ScreenedPhoto

logger = logging.getLogger(__name__)

UNRECORDED = "/metrics"
"""Asked for every few seconds by a program, and tells nothing about a photo."""

TALLY_S = 10.0
"""Seconds from one line of refusals to the next of the same problem, see `RefusalTally`: at most 4 MB a day."""


def note_photo(request: Request, sha256: str, screened: ScreenedPhoto | None = None) -> None:
    """Puts the one photo of a request into its line.

    Args:
        request: that the photo came with.
        sha256: of the photo as it was sent.
        screened: the answer, if there is one.
    """
    context_of(request.scope).audit_fields = _entry(sha256, screened)


def note_batch(request: Request, photos: int) -> None:
    """Puts the number of a batch's photos into the line of its request; each has a line of its own beside it."""
    context_of(request.scope).audit_fields = {"photos": photos}


async def record_photo(
    request: Request,
    number: int,
    status: int,
    problem: str | None,
    sha256: str | None,
    screened: ScreenedPhoto | None = None,
) -> None:
    """Writes the line of one of several photos, before a byte of its answer leaves.

    Args:
        request: that the photo came with; that it is audited is for the caller to know.
        number: the photo's place in the batch, from 1.
        status: what the photo would have been answered alone.
        problem: the type of its problem, if it has one.
        sha256: of the photo as it was sent; None if it could not be unpacked.
        screened: the answer, if there is one.

    Raises:
        AuditError: the line cannot be written.
    """
    own = {"photo": number, "status": status, "problem": problem}
    record = context_of(request.scope).record
    if record is not None:
        await record(own | _entry(sha256, screened))


def _entry(sha256: str | None, screened: ScreenedPhoto | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"input_sha256": sha256} if sha256 else {}
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
    return entry


class RefusalTally:
    """What the check of access refused to somebody unknown: of each problem a line every `TALLY_S`, with the number.

    The first is on record before its answer leaves, like every other request. A line for each further one would
    let somebody unknown fill the disk.
    """

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._problems: dict[str, _ProblemTally] = {}

    def count(self, line: Mapping[str, Any]) -> dict[str, Any] | None:
        """Takes a refusal, and gives the line that is to be written now; None if it is written later."""
        return self._problems.setdefault(line["problem"], _ProblemTally(self._log)).count(line)

    async def close(self) -> None:
        """Writes what was counted and has no line yet."""
        for tally in self._problems.values():
            await tally.close()


class _ProblemTally:
    """The refusals of one problem."""

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
        # In a thread, as it may wait for the disk.
        self._writing = loop.run_in_executor(None, self._write, line)

    def _write(self, line: dict[str, Any]) -> None:
        try:
            self._log.append(line)
        except AuditError as error:
            refused = "%s: %d requests that were refused (%d) are not on record"
            logger.error(refused, error, line["requests"], line["status"])


class AuditRequests:
    """ASGI middleware that writes a request's line, and only then lets its answer begin.

    `record` in the scope's state writes further lines of the request.
    """

    def __init__(self, app: ASGIApp, *, log: AuditLog, tally: RefusalTally, fsync: bool, answer: Answer) -> None:
        """Wraps an application.

        Args:
            app: what is audited.
            log: where the lines go.
            tally: of the same log; whoever made it closes it before the log.
            fsync: whether the log waits for the disk, which must not hold up other requests.
            answer: makes the answer of an error.
        """
        self._app, self._log, self._tally, self._fsync, self._answer = app, log, tally, fsync, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on; answers 503 in place of whatever cannot be put on record."""
        if scope["type"] != "http" or needed_role(scope["path"]) is None or scope["path"] == UNRECORDED:
            await self._app(scope, receive, send)
            return
        failure: AuditError | None = None
        context = context_of(scope)
        context.record = partial(self._record, scope)

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
        """Writes a line, or what `count` makes of it."""
        context = context_of(scope)
        about = {"request": context.request_id, "key": context.key_name}
        line = {**about, "method": method_of(scope), "route": route_of(scope), **entry}
        written = count(line) if count else line
        if written is None:
            return
        if self._fsync:
            await _to_its_end(asyncio.get_running_loop().run_in_executor(None, self._log.append, written))
        else:
            self._log.append(written)


async def _to_its_end(writing: asyncio.Future[Any]) -> None:
    """Waits for a line also where the caller is cancelled meanwhile, and goes on: what is on record is answered."""
    while not writing.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(writing)
    writing.result()
