"""The third schema on an empty store, and on one that has it already."""

from contextlib import closing

from sqlalchemy import inspect

from app.reviews.database import Database
from app.settings import StoreLocation


def test_the_table_and_its_indexes(location: StoreLocation) -> None:
    for revision in ("0002", "0003", "0003"):
        with closing(Database(location, revision=revision)) as database, database.reading() as session:
            found = inspect(session.connection())
            assert found.has_table("sessions") == (revision == "0003")
    with closing(Database(location)) as database, database.reading() as session:
        indexed = {tuple(index["column_names"]) for index in inspect(session.connection()).get_indexes("sessions")}
    assert indexed == {("key_id",), ("expires_at",)}
