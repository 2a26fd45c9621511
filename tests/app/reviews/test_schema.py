"""The tables that the code has are those that the migrations create."""

from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects import sqlite

from app.reviews.database import Database
from app.reviews.schema import Base, UtcTime
from app.settings import StoreLocation


def test_migrations_lead_to_the_schema(location: StoreLocation) -> None:
    with closing(Database(location)) as database, database.reading() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_times_are_utc() -> None:
    kind, dialect = UtcTime(), sqlite.dialect()
    noon = datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=9)))
    assert kind.process_bind_param(noon, dialect) == datetime(2026, 1, 31, 3, tzinfo=UTC)
    assert kind.process_result_value(datetime(2026, 1, 31, 3), dialect) == noon
    assert kind.process_result_value(noon, dialect) == noon
    assert kind.process_bind_param(None, dialect) is None
