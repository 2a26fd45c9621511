"""The review store: photos are kept, queued, read by one or two readers, and deleted.

Pictures are in the database. So a photo and what was said about it are kept or deleted in one transaction, a backup
is one snapshot, and several servers need no shared folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, Select, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload

from app.errors import ReadingClosed, ReviewConflict, UnknownPhoto
from app.photo.without_metadata import PictureFile
from app.reviews.database import Database
from app.reviews.findings import Finding, disagreement
from app.reviews.labels import READERS, Labels, State, View, agreed
from app.reviews.schema import CONSENSUS, GROUPS, READING, Base, FindingRow, PhotoRow, PictureRow, RecordRow, SecretRow
from app.reviews.sessions import StoredSessions
from app.settings import Blind, StoreLocation

# Writing a record by tables takes half the time of writing it by mapped objects.
_PHOTOS, _RECORDS = Base.metadata.tables["photos"], Base.metadata.tables["records"]

_LOCK_PHOTO = (
    select(_PHOTOS.c.width, _PHOTOS.c.height, _PHOTOS.c.kept_by)
    .where(_PHOTOS.c.id == bindparam("number"))
    .with_for_update()
)
_RECORDS_OF_PHOTO = (
    select(*(_RECORDS.c[name] for name in ("id", "kind", "reader", "version", "verdict", "boxes", "blind")))
    .where(_RECORDS.c.photo_id == bindparam("number"))
    .order_by(_RECORDS.c.id)
)
_CHANGE_PHOTO = update(_PHOTOS).where(_PHOTOS.c.id == bindparam("number"))

PAGE = 200
"""Photos that are in memory at a time, without their pictures, when all are read."""

DELETE_PAGE = 20
"""Photos deleted in one transaction; SQLite's other writers wait for it."""

T = TypeVar("T")


class Order(StrEnum):
    """What a queue begins with: the photos from which a detector would learn most, or the oldest."""

    UNCERTAINTY = "uncertainty"
    DISAGREEMENT = "disagreement"
    DATE = "date"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a reader writes about a photo; `version` is that of the record it replaces, 0 if there is none."""

    labels: Labels
    reader: str
    version: int = 0
    view: View | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Photos to delete: one by its number, those of a patient, or those kept before a time; all that are given."""

    photo_id: int | None = None
    patient: str | None = None
    kept_before: datetime | None = None

    def condition(self) -> list[ColumnElement[bool]]:
        conditions = []
        if self.photo_id is not None:
            conditions.append(PhotoRow.id == self.photo_id)
        if self.patient is not None:
            conditions.append(PhotoRow.patient == self.patient)
        if self.kept_before is not None:
            conditions.append(PhotoRow.kept_at < self.kept_before)
        assert conditions, "a selection must select"
        return conditions


class ReviewStore:
    """The photos at one location. Thread-safe; every method is one transaction and raises ReviewStoreError.

    Attributes:
        blind: how photos are read, see `Blind`.
        sessions: of the page, in the same database.
    """

    def __init__(self, location: StoreLocation, blind: Blind = Blind.OFF, *, create: bool = True) -> None:
        """Open the store as `Database` does."""
        self.blind = blind
        self._database = Database(location, create=create)
        self.sessions = StoredSessions(self._database)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def keep(
        self, picture: PictureFile, findings: Sequence[Finding], *, by: str, patient: str | None, view: View | None
    ) -> tuple[int, bool]:
        """Keep a photo, and what each detector said, the default one first.

        Returns:
            Its number, and whether it is new: a photo that is kept already stays as it is.
        """
        sha256 = hashlib.sha256(picture.data).hexdigest()
        with self._database.writing() as session:
            known = session.scalar(select(PhotoRow.id).where(PhotoRow.sha256 == sha256))
            if known is not None:
                return known, False
            photo = PhotoRow(
                sha256=sha256,
                media_type=picture.media_type,
                width=picture.width,
                height=picture.height,
                kept_at=datetime.now(UTC),
                kept_by=by,
                patient=patient,
                view=view,
                state=State.WAITING,
                readings=0,
                uncertainty=findings[0].uncertainty,
                disagreement=disagreement(findings),
            )
            try:
                with session.begin_nested():
                    session.add(photo)
            except IntegrityError:  # another connection has kept it meanwhile
                return session.scalars(select(PhotoRow.id).where(PhotoRow.sha256 == sha256)).one(), False
            session.add(PictureRow(photo_id=photo.id, data=picture.data))
            session.add_all(_finding_row(photo.id, finding) for finding in findings)
            return photo.id, True

    def photo(self, photo_id: int) -> PhotoRow:
        """A photo with its findings and records.

        Raises:
            UnknownPhoto: there is none of this number.
        """
        with self._database.reading() as session:
            return _existing(photo_id, session.scalar(_complete(select(PhotoRow).where(PhotoRow.id == photo_id))))

    def picture(self, photo_id: int) -> tuple[bytes, str]:
        """The picture and its media type. Raises UnknownPhoto."""
        columns = select(PictureRow.data, PhotoRow.media_type).join(PhotoRow).where(PhotoRow.id == photo_id)
        with self._database.reading() as session:
            data, media_type = _existing(photo_id, session.execute(columns).one_or_none())
        return data, media_type

    def groups_secret(self) -> bytes:
        """The random secret that the groups of an export are derived with; it stays in the store and its backups."""
        with self._database.reading() as session:
            return bytes.fromhex(session.scalars(select(SecretRow.value).where(SecretRow.name == GROUPS)).one())

    def counts(self) -> dict[State, int]:
        """How many photos are in each state."""
        with self._database.reading() as session:
            rows = session.execute(select(PhotoRow.state, func.count()).group_by(PhotoRow.state))
            found = {State(state): number for state, number in rows}
        return {state: found.get(state, 0) for state in State}

    def queue(self, *, reader: str, state: State | None, order: Order, limit: int, offset: int = 0) -> list[PhotoRow]:
        """Photos in a state, or all; of those that wait, the ones that this reader has not read."""
        query = select(PhotoRow)
        if state is not None:
            query = query.where(PhotoRow.state == state)
        if state is State.WAITING:
            query = query.where(PhotoRow.first_reader.is_distinct_from(reader))
        match order:
            case Order.UNCERTAINTY:
                query = query.order_by(PhotoRow.uncertainty.desc(), PhotoRow.id.desc())
            case Order.DISAGREEMENT:
                query = query.order_by(PhotoRow.disagreement.desc(), PhotoRow.id.desc())
            case Order.DATE:
                query = query.order_by(PhotoRow.id)
        with self._database.reading() as session:
            return list(session.scalars(query.limit(limit).offset(offset)))

    def visible_readings(self, photo: PhotoRow, reader: str) -> list[RecordRow]:
        """The readings that this reader may see: in blind reading only the own one until both are done."""
        readings = photo.all_readings
        if self.blind is Blind.OFF or len(readings) >= READERS:
            return readings
        return [reading for reading in readings if reading.reader == reader]

    def findings_visible(self, photo: PhotoRow) -> bool:
        """Whether a reader may see what the detector said."""
        return self.blind is Blind.OFF or photo.readings >= READERS

    def settle(self) -> None:
        """Give each photo the state that this mode of reading demands, after another mode: a photo with one reading is
        done in open reading, and waits for a second one in blind reading unless it has a consensus."""
        has_consensus = select(_RECORDS.c.id).where(_RECORDS.c.photo_id == _PHOTOS.c.id, _RECORDS.c.kind == CONSENSUS)
        one_reading = update(_PHOTOS).where(_PHOTOS.c.readings == 1, ~has_consensus.exists())
        before, after = (State.WAITING, State.DONE) if self.blind is Blind.OFF else (State.DONE, State.WAITING)
        with self._database.writing() as session:
            session.execute(one_reading.where(_PHOTOS.c.state == before).values(state=after))

    def write_reading(self, photo_id: int, entry: Entry) -> None:
        """Write what a reader says about a photo.

        Raises:
            UnknownPhoto: there is none of this number.
            InvalidParameter: the labels do not fit the photo.
            ReadingClosed: both blind readings are done.
            ReviewConflict: the reading has another version.
        """
        is_blind = self.blind is not Blind.OFF
        with self._database.writing() as session:
            kept_by, records = _locked(session, photo_id, entry)
            readings = {record.reader: record for record in records if record.kind == READING}
            if is_blind and len(readings) >= READERS:
                raise ReadingClosed(f"both readings of photo {photo_id} are done and closed; adjudicate instead")
            # Before keeping a photo, its reader may have screened it.
            blind = is_blind and entry.reader != kept_by
            _write(session, photo_id, readings.get(entry.reader), READING, entry, blind)
            said = {reader: Labels.from_json(record.verdict, record.boxes) for reader, record in readings.items()}
            said[entry.reader] = entry.labels
            values: dict[str, Any] = {
                "number": photo_id,
                "readings": len(said),
                "first_reader": entry.reader if len(said) == 1 else None,
            }
            if len(readings) == len(records) and len(said) >= self._needed:  # without a consensus
                values["state"] = State.DONE if agreed(list(said.values())) else State.DISPUTED
            session.execute(_CHANGE_PHOTO, values)

    def write_consensus(self, photo_id: int, entry: Entry) -> None:
        """Settle what the readings differ in; errors as of `write_reading`.

        Raises:
            ReviewConflict: the consensus has another version, or the readings are not done.
        """
        with self._database.writing() as session:
            _, records = _locked(session, photo_id, entry)
            found = next((record for record in records if record.kind == CONSENSUS), None)
            readings = len(records) - (found is not None)
            if readings < self._needed:
                raise ReviewConflict(
                    f"photo {photo_id} has {readings} readings; a consensus needs {self._needed} before it"
                )
            _write(session, photo_id, found, CONSENSUS, entry, False)
            session.execute(update(_PHOTOS).where(_PHOTOS.c.id == photo_id).values(state=State.DONE))

    def delete(self, selection: Selection, record: Callable[[int, str], None]) -> int:
        """Delete photos with all that was said about them, and return their number.

        Deletes `DELETE_PAGE` photos at a time, each page in its own transaction.

        Args:
            record: called with the number and digest of each photo before its page is deleted; if it raises, that page
                and the further ones are not.
        """
        chosen = select(PhotoRow.id, PhotoRow.sha256).where(*selection.condition()).order_by(PhotoRow.id)
        page, number = chosen.limit(DELETE_PAGE).with_for_update(), 0
        try:
            while True:
                with self._database.writing() as session:
                    found = session.execute(page).all()
                    for photo_id, sha256 in found:
                        record(photo_id, sha256)
                    session.execute(delete(PhotoRow).where(PhotoRow.id.in_([photo_id for photo_id, _ in found])))
                number += len(found)
                if len(found) < DELETE_PAGE:
                    return number
        finally:
            if number:
                self._database.forget_deleted()

    def photos(self, state: State | None = None, readings: int | None = None) -> Iterator[PhotoRow]:
        """All photos, or those in a state or with so many readings, by number, each complete but for its picture.

        Reads a page at a time, each in its own transaction.
        """
        last = 0
        while True:
            query = select(PhotoRow).where(PhotoRow.id > last).order_by(PhotoRow.id).limit(PAGE)
            if state is not None:
                query = query.where(PhotoRow.state == state)
            if readings is not None:
                query = query.where(PhotoRow.readings == readings)
            with self._database.reading() as session:
                found = list(session.scalars(_complete(query)))
            yield from found
            if len(found) < PAGE:
                return
            last = found[-1].id

    @property
    def _needed(self) -> int:
        """Readings that settle a photo."""
        return 1 if self.blind is Blind.OFF else READERS


def consensus_labels(photo: PhotoRow) -> Labels | None:
    """The labels that a photo is trained with: the adjudicated ones, or those that its readings share."""
    if photo.consensus is not None:
        return photo.consensus.labels
    return agreed([reading.labels for reading in photo.all_readings]) if photo.state == State.DONE else None


def view_of(photo: PhotoRow) -> str | None:
    """The photo's view: as it was kept, or as a reader said."""
    return photo.view or next((record.view for record in reversed(photo.records) if record.view), None)


def _complete(query: Select[PhotoRow]) -> Select[PhotoRow]:
    return query.options(selectinload(PhotoRow.findings), selectinload(PhotoRow.records))


def _existing(photo_id: int, found: T | None) -> T:
    if found is None:
        raise UnknownPhoto(f"the review store has no photo {photo_id}")
    return found


def _finding_row(photo_id: int, finding: Finding) -> FindingRow:
    return FindingRow(
        photo_id=photo_id,
        model=finding.model,
        model_version=finding.model_version,
        model_sha256=finding.model_sha256,
        operating_point=finding.operating_point,
        score_threshold=finding.score_threshold,
        max_boxes=finding.max_boxes,
        verdict=finding.verdict,
        teeth=[tooth.as_row() for tooth in finding.teeth],
    )


def _locked(session: Session, photo_id: int, entry: Entry) -> tuple[str, Sequence[Row[Any]]]:
    """Who kept a photo that the entry fits, and its records, which no other transaction changes until this one ends."""
    given = {"number": photo_id}
    width, height, kept_by = _existing(photo_id, session.execute(_LOCK_PHOTO, given).one_or_none())
    entry.labels.check(width, height)
    return kept_by, session.execute(_RECORDS_OF_PHOTO, given).all()


def _write(session: Session, photo_id: int, found: Row[Any] | None, kind: str, entry: Entry, blind: bool) -> None:
    """Write the entry as a record, in place of the one that was found; raises ReviewConflict if that has another
    version."""
    if entry.version != (found.version if found else 0):
        now = f"has version {found.version}" if found else "does not exist"
        raise ReviewConflict(f"the request replaces version {entry.version}; the {kind} of photo {photo_id} {now}")
    time = datetime.now(UTC)
    values: dict[str, Any] = {
        "reader": entry.reader,
        "version": entry.version + 1,
        "verdict": entry.labels.verdict,
        "boxes": [box.as_dict() for box in entry.labels.boxes],
        "view": entry.view,
        "note": entry.note,
        "blind": blind and (found is None or found.blind),
        "updated_at": time,
    }
    if found is None:
        session.execute(insert(_RECORDS), values | {"photo_id": photo_id, "kind": kind, "created_at": time})
    else:
        session.execute(update(_RECORDS).where(_RECORDS.c.id == found.id).values(values))
