"""The second schema on an empty store, and on one that has it already."""

from contextlib import closing

from sqlalchemy import inspect

from app.reviews.database import Database
from app.settings import StoreLocation


def test_the_column_and_its_index(location: StoreLocation) -> None:
    for revision in ("0001", "0002", "0002"):
        with closing(Database(location, revision=revision)) as database, database.reading() as session:
            found = inspect(session.connection())
            names = {column["name"] for column in found.get_columns("photos")}
            indexes = {index["name"] for index in found.get_indexes("photos")}
            assert ("disagreement" in names) == ("photos_by_disagreement" in indexes) == (revision == "0002")
