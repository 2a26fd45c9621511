"""A store as files of an archive, whichever its database, and back: for backups, and to move a store.

reviews/schema.json          the revision of the tables, the secrets, and the last number given to a photo
reviews/000000001.json       the rows of a photo by table
reviews/000000001.picture    its picture
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Column, MetaData, Row, Table, delete, func, insert, select, text
from sqlalchemy.orm import Session

from app.errors import ReviewStoreError
from app.reviews.database import Database
from app.reviews.schema import Base, FindingRow, PhotoRow, PictureRow, RecordRow, SecretRow
from app.settings import StoreLocation

FOLDER = "reviews"
SCHEMA, ROWS, PICTURE = "schema.json", ".json", ".picture"

File = tuple[str, bytes]
"""Path and content."""


def archived_files(location: StoreLocation) -> Iterator[File]:
    """The files of a store in one state, also while a server writes. Raises ReviewStoreError."""
    photos, *others = (Base.metadata.tables[kind.__tablename__] for kind in (PhotoRow, FindingRow, RecordRow))
    with closing(Database(location, create=False)) as database, database.reading() as session:
        revision = session.scalar(text("SELECT version_num FROM alembic_version"))
        secrets = [_values(row) for row in session.execute(select(Base.metadata.tables[SecretRow.__tablename__]))]
        about = {"revision": revision, "secrets": secrets, "last_photo": _last_photo(session)}
        yield f"{FOLDER}/{SCHEMA}", _json(about)
        for photo_id in session.scalars(select(PhotoRow.id).order_by(PhotoRow.id)).all():
            stem = f"{FOLDER}/{photo_id:09}"
            rows = {photos.name: [_values(session.execute(select(photos).where(photos.c.id == photo_id)).one())]}
            for table in others:
                found = session.execute(select(table).where(table.c.photo_id == photo_id).order_by(table.c.id))
                rows[table.name] = [_values(row) for row in found]
            yield stem + ROWS, _json(rows)
            yield stem + PICTURE, session.scalars(select(PictureRow.data).where(PictureRow.photo_id == photo_id)).one()


def restore_files(location: StoreLocation, files: Iterable[File]) -> int:
    """Write the files of an archive into an empty store, upgrade it, and return the number of photos.

    Raises:
        ReviewStoreError: the store is not empty or cannot be written, or the files are not those of a store; nothing is
            restored then.
    """
    files = iter(files)
    name, content = next(files, ("", b""))
    if name != f"{FOLDER}/{SCHEMA}":
        raise ReviewStoreError(f"the archive has no {FOLDER}/{SCHEMA}; it is not of a review store")
    with _damage_refused(name):
        about = json.loads(content)
        revision, last_photo = str(about["revision"]), int(about.get("last_photo", 0))
    with closing(Database(location, revision=revision)) as database, database.writing() as session:
        tables = MetaData()
        tables.reflect(session.connection())
        at = session.scalar(text("SELECT version_num FROM alembic_version"))
        if at != revision or session.scalar(select(func.count()).select_from(tables.tables["photos"])):
            raise ReviewStoreError(f"{location} is not empty; restore into an empty folder or database")
        restored = 0
        for name, content in files:
            with _damage_refused(name):
                if name.endswith(PICTURE):
                    photo_id = int(name.removesuffix(PICTURE).rpartition("/")[2])
                    session.execute(insert(tables.tables["pictures"]), {"photo_id": photo_id, "data": content})
                    restored += 1
                    continue
                for table, rows in json.loads(content).items():
                    _insert(session, tables.tables[table], rows)
        with _damage_refused(f"{FOLDER}/{SCHEMA}"):
            if secrets := about.get("secrets"):
                table = tables.tables[SecretRow.__tablename__]
                session.execute(delete(table))
                _insert(session, table, secrets)
        if session.connection().dialect.name == "postgresql":
            for name in ("photos", "findings", "records"):
                # Numbers given explicitly do not advance the sequence.
                sequence, found = f"pg_get_serial_sequence('{name}', 'id')", f"(SELECT max(id) AS last FROM {name})"
                session.execute(text(f"SELECT setval({sequence}, last) FROM {found} AS found"))
        if last_photo:
            _continue_after(session, last_photo)
    Database(location).close()  # upgrades it
    return restored


def _last_photo(session: Session) -> int:
    """The highest number that a photo was ever given."""
    if session.connection().dialect.name == "postgresql":
        query = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM photos_id_seq"
    else:
        query = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'photos'"
    return int(session.scalar(text(query)) or 0)


def _continue_after(session: Session, last_photo: int) -> None:
    """Give no number up to this one to another photo."""
    last = max(last_photo, _last_photo(session))
    if session.connection().dialect.name == "postgresql":
        session.execute(text("SELECT setval('photos_id_seq', :last)"), {"last": last})
    else:
        session.execute(text("DELETE FROM sqlite_sequence WHERE name = 'photos'"))
        session.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES ('photos', :last)"), {"last": last})


@contextmanager
def _damage_refused(name: str) -> Iterator[None]:
    """Raise every error of a file that is not as it was archived as ReviewStoreError."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReviewStoreError(f"{name} of the archive is damaged; nothing is restored") from error


def _insert(session: Session, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        session.execute(insert(table), [_typed(table, row) for row in rows])


def _values(row: Row[Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row._mapping.items()}


def _typed(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _time(table.c[name], value) for name, value in row.items()}


def _time(column: Column[Any], value: Any) -> Any:
    return datetime.fromisoformat(value) if value is not None and column.type.python_type is datetime else value


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode()
