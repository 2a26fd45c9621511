"""Statements of PostgreSQL that are parsed once."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import text

from app.errors import ReviewStoreError
from app.reviews.database import Database
from app.reviews.prepared_statements import MAX_PREPARED
from tests.app.reviews.databases import new_database


def test_postgresql_parses_a_repeated_statement_once(postgresql: str) -> None:
    query = text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT % + 1000%'")
    with closing(Database(new_database(postgresql, "prepared_statements"))) as database:
        with database.reading() as session:
            for number in range(3):
                assert (
                    session.scalar(text("SELECT CAST(:number AS INTEGER) + 1000"), {"number": number}) == number + 1000
                )
            assert session.scalar(query) == 1
            for place in range(MAX_PREPARED + 50):
                assert session.scalar(text(f"SELECT :text || ' {place}'"), {"text": "place"}) == f"place {place}"
            assert session.scalar(text("SELECT count(*) FROM pg_prepared_statements")) <= MAX_PREPARED
        # One that failed is not prepared; the same connection goes on.
        for _ in range(2):
            with pytest.raises(ReviewStoreError), database.writing() as session:
                session.execute(text("SELECT :number FROM nowhere"), {"number": 1})
        with database.reading() as session:
            assert session.scalar(text("SELECT CAST(:number AS INTEGER) + 1000"), {"number": 7}) == 1007
