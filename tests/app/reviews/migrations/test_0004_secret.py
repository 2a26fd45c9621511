"""The fourth schema on an empty store, and on one that has it already."""

from contextlib import closing

from sqlalchemy import inspect, text

from app.reviews.database import Database
from app.settings import StoreLocation


def test_the_secret_is_created_once(location: StoreLocation) -> None:
    found = []
    for revision in ("0003", "0004", "0004"):
        with closing(Database(location, revision=revision)) as database, database.reading() as session:
            has_table = inspect(session.connection()).has_table("secrets")
            assert has_table == (revision == "0004")
            if has_table:
                found.append(session.execute(text("SELECT name, value FROM secrets")).all())
    ((name, value),) = found[0]
    assert name == "groups"
    assert len(bytes.fromhex(value)) == 32
    assert found[1] == found[0]
