"""A store as files, and back: into the same database or the other one, also from an older schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.errors import ReviewStoreError
from app.reviews.archive import archived_files, restore_files
from app.reviews.database import Database
from app.reviews.store import Entry, ReviewStore, Selection
from app.settings import Blind, StoreLocation
from tests.app.reviews.databases import empty_location
from tests.app.reviews.samples import keep, labels, picture, read


def fill(location: StoreLocation) -> None:
    with closing(ReviewStore(location, Blind.EMPTY)) as store:
        first, second = keep(store, 0, patient="p1", view="front"), keep(store, 1)
        read(store, first, "a", 0)
        read(store, first, "b", 1)
        store.write_consensus(first, Entry(labels=labels(0), reader="c", note="낮은 조명"))
        read(store, second, "a")


def content(location: StoreLocation) -> list[Any]:
    """Everything in the store but the times of its files."""
    return [name if name.endswith("schema.json") else (name, data) for name, data in archived_files(location)]


@pytest.fixture(params=["sqlite", "postgresql"])
def other(request: pytest.FixtureRequest, tmp_path: Path) -> StoreLocation:
    """An empty location to restore to."""
    return empty_location(request, request.param, tmp_path, "restored")


def test_a_store_is_restored_to_either_database(location: StoreLocation, other: StoreLocation) -> None:
    fill(location)
    files = list(archived_files(location))
    assert [name for name, _ in files] == [
        "reviews/schema.json",
        *("reviews/000000001.json", "reviews/000000001.picture"),
        *("reviews/000000002.json", "reviews/000000002.picture"),
    ]
    assert restore_files(other, iter(files)) == 2
    assert content(other) == content(location)
    with closing(ReviewStore(location)) as first, closing(ReviewStore(other)) as restored:
        assert first.groups_secret() == restored.groups_secret()
    with closing(ReviewStore(other, Blind.EMPTY)) as store:
        assert store.picture(2)[0] == picture(1).data
        read(store, 2, "b")
        assert keep(store, 5) == 3
    with pytest.raises(ReviewStoreError, match="is not empty; restore into an empty folder or database"):
        restore_files(other, iter(files))


@pytest.mark.parametrize("deleted", [[2], [1, 2]])
def test_the_number_of_a_deleted_photo_is_not_used_after_a_restore(
    location: StoreLocation, other: StoreLocation, deleted: list[int]
) -> None:
    fill(location)
    with closing(ReviewStore(location)) as store:
        for number in deleted:
            store.delete(Selection(photo_id=number), lambda *_: None)
    restore_files(other, archived_files(location))
    with closing(ReviewStore(other)) as store:
        assert keep(store, 7) == 3


def test_an_archive_of_the_first_schema_is_upgraded(location: StoreLocation, other: StoreLocation) -> None:
    fill(location)
    files = dict(archived_files(location))
    files["reviews/schema.json"] = b'{"revision": "0001"}'
    for name in list(files)[1::2]:
        rows = json.loads(files[name])
        del rows["photos"][0]["disagreement"]
        files[name] = json.dumps(rows).encode()
    assert restore_files(other, iter(files.items())) == 2
    assert content(other) == content(location)


def broken(files: list[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    yield from files[:3]
    raise OSError(5, "Input/output error")


def test_archives_that_are_refused_restore_nothing(location: StoreLocation, other: StoreLocation) -> None:
    fill(location)
    files = list(archived_files(location))
    for wrong, says in (
        (iter(()), "has no reviews/schema.json"),
        (iter(files[1:]), "has no reviews/schema.json"),
        (iter([("reviews/schema.json", b'{"revision": "0099"}')]), "the schema 0099 is of a newer program"),
        (broken(files), "cannot be written: Input/output error"),
        (iter([("reviews/schema.json", b"{")]), "schema.json of the archive is damaged"),
        (iter([("reviews/schema.json", b"{}")]), "schema.json of the archive is damaged"),
        (iter([*files[:1], (files[1][0], b'{"photos": [')]), "000000001.json of the archive is damaged"),
        (iter([*files[:1], (files[1][0], b'{"gone": [{}]}')]), "000000001.json of the archive is damaged"),
        (iter([*files[:1], ("reviews/x.picture", b"")]), "x.picture of the archive is damaged"),
    ):
        with pytest.raises(ReviewStoreError, match=says):
            restore_files(other, wrong)
    with closing(Database(other)):
        assert content(other) == ["reviews/schema.json"]


def test_a_missing_store_is_not_created(location: StoreLocation) -> None:
    with pytest.raises(ReviewStoreError, match="contains no review store"):
        list(archived_files(location))
