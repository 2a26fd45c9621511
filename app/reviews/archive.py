"""A store as files of an archive, whichever its database, and back: for backups, and to move a store.

reviews/schema.json          the revision of the tables
reviews/000000001.json       the rows of a photo by table
reviews/000000001.picture    its picture
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from typing import Any

from sqlalchemy import Column, MetaData, Row, Table, func, insert, select, text

from app.errors import ReviewStoreError
from app.reviews.database import Database
from app.reviews.schema import Base, FindingRow, PhotoRow, PictureRow, RecordRow
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
        yield f"{FOLDER}/{SCHEMA}", _json({"revision": revision})
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
    revision = str(json.loads(content)["revision"])
    with closing(Database(location, revision=revision)) as database, database.writing() as session:
        tables = MetaData()
        tables.reflect(session.connection())
        at = session.scalar(text("SELECT version_num FROM alembic_version"))
        if at != revision or session.scalar(select(func.count()).select_from(tables.tables["photos"])):
            raise ReviewStoreError(f"{location} is not empty; restore into an empty folder or database")
        restored = 0
        for name, content in files:
            if name.endswith(PICTURE):
                photo_id = int(name.removesuffix(PICTURE).rpartition("/")[2])
                session.execute(insert(tables.tables["pictures"]), {"photo_id": photo_id, "data": content})
                restored += 1
                continue
            for table, rows in json.loads(content).items():
                if rows:
                    session.execute(insert(tables.tables[table]), [_typed(tables.tables[table], row) for row in rows])
        if session.connection().dialect.name == "postgresql":
            for name in ("photos", "findings", "records"):
                # Numbers given explicitly do not advance the sequence.
                sequence, table = f"pg_get_serial_sequence('{name}', 'id')", f"(SELECT max(id) AS last FROM {name})"
                session.execute(text(f"SELECT setval({sequence}, last) FROM {table} AS found"))
    Database(location).close()  # upgrades it
    return restored


def _values(row: Row[Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row._mapping.items()}


def _typed(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _time(table.c[name], value) for name, value in row.items()}


def _time(column: Column[Any], value: Any) -> Any:
    return datetime.fromisoformat(value) if value is not None and column.type.python_type is datetime else value


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode()
