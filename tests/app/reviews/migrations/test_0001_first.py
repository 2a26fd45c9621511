"""A store that was kept with the first schema is upgraded, on both databases, without losing a word."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine, insert, select, text

from app.reviews.database import FILE, Database
from app.reviews.labels import State
from app.reviews.store import Order, ReviewStore, consensus_labels
from app.settings import StoreLocation
from tests.app.reviews.samples import finding, labels, picture

KEPT = Path(__file__).parents[3] / "data" / "reviews-0001.sqlite"


@pytest.fixture
def first_schema(location: StoreLocation) -> StoreLocation:
    """The kept store: its file in a folder, or its rows in a database of that schema."""
    if location.folder is not None:
        location.folder.mkdir()
        (location.folder / FILE).write_bytes(KEPT.read_bytes())
        return location
    source, rows = create_engine(f"sqlite:///{KEPT}"), MetaData()
    rows.reflect(source)
    with (
        closing(Database(location, revision="0001")) as database,
        database.writing() as session,
        source.connect() as old,
    ):
        for name in ("photos", "pictures", "findings", "records"):
            session.execute(
                insert(rows.tables[name]), [dict(row._mapping) for row in old.execute(select(rows.tables[name]))]
            )
    source.dispose()
    return location


def test_a_store_of_the_first_schema_is_upgraded(first_schema: StoreLocation) -> None:
    with closing(Database(first_schema, revision="0001")) as database, database.reading() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "0001"
    with closing(ReviewStore(first_schema)) as store:
        first, second = store.photos()
        assert [record.labels for record in first.records] == [labels(0), labels(1)]
        assert [record.note for record in first.records] == ["낮은 조명", None]
        assert (first.patient, first.view, first.state, first.disagreement) == ("p1", "front", State.DISPUTED, 0)
        assert [row.finding for row in second.findings] == [finding()]
        assert consensus_labels(second) == labels(0)
        assert store.picture(1) == (picture(0).data, "image/jpeg")
        assert first.kept_at.isoformat() == "2026-01-31T09:00:00+00:00"
        listed = store.queue(reader="c", state=None, order=Order.DISAGREEMENT, limit=9)
        assert [photo.id for photo in listed] == [2, 1]
