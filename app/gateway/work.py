"""The work between the queue's ends: screen what is due, deliver what is due, forget what has expired, record it all.

Each step is a function of the queue and its clock; `app.gateway.run` calls them in threads.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from app.errors import AuditError
from app.gateway.delivery import Archive, Outcome
from app.gateway.queue import Entry, Kind, Queue
from app.gateway.screening import Answer, Refusal, Server

logger = logging.getLogger(__name__)

OBJECTS_PER_ASSOCIATION = 50
"""Objects that one association delivers."""

Record = Callable[[Mapping[str, Any]], object]
"""Writes a line of the audit log."""


@dataclass(slots=True)
class Work:
    """The steps of one gateway.

    Attributes:
        archives: by name; every answer goes to each.
        give_up_s: seconds after a photo arrived or was sent again from which a failed try is the last.
        keep_s: seconds that what was given up is kept.
        record: writes a line of the audit log, with digests of UIDs only; raises AuditError.
        server_problem: why the server answers no photo until the operator acts; empty if it may.
        audit_problem: why no line can be written now; empty if it can.
    """

    queue: Queue
    server: Server
    archives: Mapping[str, Archive]
    give_up_s: float
    keep_s: float
    record: Record = lambda _: None
    server_problem: str = ""
    audit_problem: str = ""
    _is_answered: bool = False
    _probed: str = ""
    _written: list[int] = field(default_factory=list)
    _taken: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def screen_one(self) -> bool:
        """Screen the photo that has waited longest; False if none is due. For several threads."""
        with self._taking(Kind.PHOTO) as photos:
            for photo in photos:
                try:
                    self._screen(photo)
                except Exception as error:  # a full disk, or a bug that this photo meets, does not block the others
                    self._fail(photo, f"{type(error).__name__} while it was screened")
        return bool(photos)

    def _screen(self, photo: Entry) -> None:
        answer = self.server.screen(photo.path.read_bytes())
        self._learn(answer)
        if isinstance(answer, Refusal):
            self._fail(photo, answer.reason, final=answer.final, after_s=answer.after_s)
        else:
            self.queue.answer(photo, answer.bundle, answer.objects, list(self.archives), answer.sha256)

    def probe(self) -> bool:
        """Ask the server whether it answers, until it has; False."""
        if not self._is_answered:
            answer = self.server.probe()
            self._learn(answer)
            reason = answer.reason if isinstance(answer, Refusal) and not answer.final else ""
            if reason not in ("", self._probed):
                logger.error("the server cannot answer photos yet: %s", reason)
            self._probed = reason
        return False

    def _learn(self, answer: Answer | Refusal) -> None:
        """What an answer says of the server. One that passes by itself says nothing: a wrong key may get 429."""
        if not isinstance(answer, Refusal) or (answer.final and answer.status):
            self._is_answered, self.server_problem = True, ""
        elif answer.is_lasting:
            self._is_answered, self.server_problem = False, answer.reason

    def deliver(self, archive: str) -> bool:
        """Deliver what is due to an archive, in one association; False if nothing is. For several threads."""
        with self._taking(Kind.OBJECT, archive, OBJECTS_PER_ASSOCIATION) as due:
            if not due:
                return False
            try:
                outcomes = self.archives[archive].send([entry.path for entry in due])
            except Exception as error:
                outcomes = [Outcome(f"{type(error).__name__} while it was sent")] * len(due)
            results = [*zip(due, outcomes, strict=True)]
            if delivered := [entry for entry, outcome in results if not outcome.error]:
                self.queue.delivered(delivered)
            for entry, outcome in results:
                if outcome.error:
                    self._fail(entry, outcome.error, final=outcome.final)
        return True

    @contextmanager
    def _taking(self, kind: Kind, archive: str = "", limit: int = 1) -> Iterator[list[Entry]]:
        """Entries that are due, for one thread."""
        with self._lock:
            due = self.queue.due(kind, archive, limit=limit, taken=tuple(self._taken))
            self._taken.update(entry.id for entry in due)
        try:
            yield due
        finally:
            with self._lock:
                self._taken.difference_update(entry.id for entry in due)

    def _fail(self, entry: Entry, reason: str, *, final: bool = False, after_s: float = 0.0) -> None:
        """Let an entry wait for its next try, or give it up."""
        final = final or self.queue.clock() - entry.received >= self.give_up_s
        self.queue.failed(entry, reason, final=final, after_s=after_s)
        level = logging.WARNING if final else logging.INFO
        what = (
            "a photo was not screened"
            if entry.kind is Kind.PHOTO
            else f"an answer was not delivered to {entry.archive}"
        )
        logger.log(level, "%s: %s", what, reason)

    def write_audit(self) -> bool:
        """Write what has happened to the audit log; False if there was nothing, or it cannot be written now."""
        try:
            for number, line in self.queue.events():
                if number not in self._written:
                    self.record(line)
                    self._written.append(number)
        except AuditError as error:
            if not self.audit_problem:
                logger.error("%s", error)
            self.audit_problem = str(error)
        else:
            self.audit_problem = ""
        if not self._written:
            return False
        self.queue.recorded(self._written)  # what fails here, as on a full disk, is not written again
        self._written.clear()
        return True

    def expire(self) -> bool:
        """Delete what was given up long ago; False if there was nothing."""
        return self.queue.expire(self.keep_s) > 0
