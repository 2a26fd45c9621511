"""Photos that an archive has already, into the queue: found by QIDO-RS, fetched by WADO-RS.

DICOM PS3.18, 10.4 and 10.6.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import urlencode

from app.dicom.related import split_related
from app.errors import ArchiveError, PhotoError, UnsupportedPhoto
from app.gateway.http_client import ask, authorized
from app.gateway.intake import keep
from app.gateway.queue import Queue
from app.photo.dicom_uids import SOP_CLASSES

logger = logging.getLogger(__name__)

PAGE = 100
"""Studies or instances asked for at a time."""

MAX_WAITING = 100
"""Photos in the queue from which no more are fetched until some are screened."""

TIMEOUT_S = 60.0
MAX_ANSWER_BYTES = 2**28
"""Of a page of what a search finds, or of a photo; how large a photo may be is checked when it is kept."""

SOP_CLASS, INSTANCE, STUDY, SERIES = "00080016", "00080018", "0020000D", "0020000E"


@dataclass(slots=True)
class Progress:
    """Studies looked through, photos put into the queue, those that it knew, that are refused, and that failed."""

    studies: int = 0
    queued: int = 0
    known: int = 0
    refused: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class DicomWebSource:
    """The DICOMweb services of an archive.

    Attributes:
        url: their root.
        authorization: the header's value; empty for none.
    """

    url: str
    authorization: str = field(default="", repr=False)

    def studies(self, study_date: str) -> Iterator[str]:
        """UIDs of the studies of a date or range, `20260101` or `20260101-20261231`; raises ArchiveError."""
        for entry in self._found("/studies", STUDY, StudyDate=study_date):
            yield _value(entry, STUDY)

    def photos(self, study: str) -> list[tuple[str, str]]:
        """Series and instance UIDs of the photos in a study; raises ArchiveError."""
        return [
            (_value(entry, SERIES), _value(entry, INSTANCE))
            for entry in self._found(f"/studies/{study}/instances", INSTANCE, includefield=SOP_CLASS)
            if _value(entry, SOP_CLASS) in SOP_CLASSES
        ]

    def fetch(self, study: str, series: str, instance: str) -> bytes:
        """A photo in the archive's own transfer syntax; raises ArchiveError."""
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        body, headers = self._get(f"/studies/{study}/series/{series}/instances/{instance}", accept)
        try:
            return split_related(body, headers)[0]
        except (ValueError, IndexError):
            raise ArchiveError("the archive does not answer WADO-RS as the standard says") from None

    def _found(self, path: str, uid: str, **query: object) -> Iterator[dict[str, Any]]:
        """What a search finds, page by page until one is empty: a service may answer fewer than asked for (8.3.4.4).

        Args:
            uid: tag of the UID by which an entry that comes twice is known.
        """
        offset, known = 0, set[str]()
        while page := self._json(path, **query, limit=PAGE, offset=offset):
            new = [entry for entry in page if _value(entry, uid) not in known]
            if not new:
                what = path.rpartition("/")[2]  # without UIDs
                logger.warning("the archive repeats what it has found; it may have more than %d %s", offset, what)
                return
            known.update(_value(entry, uid) for entry in new)
            yield from new
            offset += len(page)

    def _json(self, path: str, **query: object) -> list[dict[str, Any]]:
        body, _ = self._get(f"{path}?{urlencode(query)}", "application/dicom+json")
        try:
            entries = json.loads(body) if body else []
        except ValueError:
            entries = None
        if not isinstance(entries, list):
            raise ArchiveError("the archive does not answer QIDO-RS with JSON")
        return entries

    def _get(self, path: str, accept: str) -> tuple[bytes, Message]:
        try:
            headers = {"Accept": accept, **authorized(self.authorization)}
            reply = ask(self.url + path, headers, timeout_s=TIMEOUT_S, max_bytes=MAX_ANSWER_BYTES)
        except OSError as error:
            raise ArchiveError(f"the archive does not answer: {type(error).__name__}") from None
        if not reply.is_ok:
            raise ArchiveError(f"the archive answered {reply.status}")
        return reply.body, reply.headers


def backfill(
    source: DicomWebSource,
    queue: Queue,
    study_date: str,
    *,
    max_bytes: int,
    per_minute: float,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Progress]:
    """Put the photos of a date or range into the queue, and yield the progress after each study.

    A second call resumes the first one: what waits or was answered is not fetched again.

    Args:
        max_bytes: of a photo.
        per_minute: photos fetched at most.
        sleep: waits so many seconds.

    Raises:
        ArchiveError: the archive cannot be searched; a photo that cannot be fetched or read only counts as failed, one
            that is not in colour as refused.
        OSError, sqlite3.Error: a photo cannot be kept.
    """
    progress = Progress()
    for study in source.studies(study_date):
        for series, instance in source.photos(study):
            if queue.knows(instance):
                progress.known += 1
                continue
            while queue.counts()["photos_waiting"] >= MAX_WAITING:
                sleep(1.0)
            try:
                progress.queued += keep(queue, source.fetch(study, series, instance), max_bytes)
            except UnsupportedPhoto:
                progress.refused += 1
            except (ArchiveError, PhotoError):
                progress.failed += 1
            sleep(60.0 / per_minute)
        progress.studies += 1
        yield progress


def _value(entry: dict[str, Any], tag: str) -> str:
    """The first value of an attribute in DICOM's JSON (PS3.18, annex F); empty if there is none."""
    values = entry.get(tag, {}).get("Value") or [""]
    return str(values[0])
