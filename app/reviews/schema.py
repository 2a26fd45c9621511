"""The tables of the store. A change here needs a step in `app/reviews/migrations`; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, ForeignKey, Index, LargeBinary, String, Text, TypeDecorator
from sqlalchemy import UniqueConstraint as Unique
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from app.reviews.findings import Finding, ScoredTooth
from app.reviews.labels import MAX_NAME, Labels
from app.screening import Verdict

READING, CONSENSUS = "reading", "consensus"
"""Kinds of records: what one reader said, and what was decided where readers differed."""


GROUPS = "groups"
"""Name of the secret of `SecretRow`."""


class UtcTime(TypeDecorator[datetime]):
    """A point in time. SQLite stores no time zone, so all are UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))


class Base(DeclarativeBase):
    type_annotation_map = {datetime: UtcTime, list[Any]: JSON, str: String(MAX_NAME)}  # noqa: RUF012


class PhotoRow(Base):
    """A photo, without its picture.

    Attributes:
        sha256: of the picture.
        patient: pseudonym; photos of a patient share a fold of the training.
        state: see `State`.
        readings: how many there are.
        first_reader: who has read the photo, if only one has.
        uncertainty: see `Finding.uncertainty`, of the first detector.
        disagreement: of the detectors, see `disagreement`.
    """

    __tablename__ = "photos"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    media_type: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    kept_at: Mapped[datetime] = mapped_column(index=True)
    kept_by: Mapped[str]
    patient: Mapped[str | None] = mapped_column(index=True)
    view: Mapped[str | None]
    state: Mapped[str]
    readings: Mapped[int]
    first_reader: Mapped[str | None]
    uncertainty: Mapped[float]
    disagreement: Mapped[float]
    findings: Mapped[list[FindingRow]] = relationship(order_by="FindingRow.id", passive_deletes=True)
    records: Mapped[list[RecordRow]] = relationship(order_by="RecordRow.id", passive_deletes=True)

    __table_args__ = (
        # What a queue's next photo is found by, without reading the table.
        Index("photos_by_uncertainty", "state", "uncertainty", "id", "first_reader"),
        Index("photos_by_disagreement", "state", "disagreement", "id", "first_reader"),
        Index("photos_by_date", "state", "id", "first_reader"),
        {"sqlite_autoincrement": True},  # the number of a deleted photo is not given to another
    )

    @property
    def consensus(self) -> RecordRow | None:
        """The record that settles differing readings."""
        return next((record for record in self.records if record.kind == CONSENSUS), None)

    @property
    def all_readings(self) -> list[RecordRow]:
        return [record for record in self.records if record.kind == READING]


class PictureRow(Base):
    """The picture of a photo."""

    __tablename__ = "pictures"

    photo_id: Mapped[int] = mapped_column(ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class FindingRow(Base):
    """What a detector said; `teeth` are `ScoredTooth.as_row`."""

    __tablename__ = "findings"

    id: Mapped[int] = mapped_column(primary_key=True)
    photo_id: Mapped[int] = mapped_column(ForeignKey("photos.id", ondelete="CASCADE"), index=True)
    model: Mapped[str] = mapped_column(String(200))
    model_version: Mapped[int]
    model_sha256: Mapped[str]
    operating_point: Mapped[str | None] = mapped_column(String(200))
    score_threshold: Mapped[float]
    max_boxes: Mapped[int]
    verdict: Mapped[str]
    teeth: Mapped[list[Any]]

    @property
    def finding(self) -> Finding:
        """As the rules take it."""
        return Finding(
            *(self.model, self.model_version, self.model_sha256, self.operating_point),
            *(self.score_threshold, self.max_boxes, Verdict(self.verdict)),
            tuple(ScoredTooth((left, top, right, bottom), scores) for left, top, right, bottom, scores in self.teeth),
        )


class RecordRow(Base):
    """What a reader said. `version` counts its changes from 1; `blind` if nothing of others was shown before."""

    __tablename__ = "records"

    id: Mapped[int] = mapped_column(primary_key=True)
    photo_id: Mapped[int] = mapped_column(ForeignKey("photos.id", ondelete="CASCADE"))
    kind: Mapped[str]
    reader: Mapped[str]
    version: Mapped[int]
    verdict: Mapped[str]
    boxes: Mapped[list[Any]]
    view: Mapped[str | None]
    note: Mapped[str | None] = mapped_column(Text)
    blind: Mapped[bool]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (Unique("photo_id", "kind", "reader"),)

    @property
    def labels(self) -> Labels:
        """As the rules take it."""
        return Labels.from_json(self.verdict, self.boxes)


class SessionRow(Base):
    """A session of the page, see `Session`; `digest` is the SHA-256 of its token."""

    __tablename__ = "sessions"

    digest: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SecretRow(Base):
    """A random secret of the store as hexadecimal digits; `GROUPS` derives the groups of an export."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
