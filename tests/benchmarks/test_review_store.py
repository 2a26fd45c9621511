"""The benchmark of the review store, with few photos: what it fills the store with, and what it prints."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("alembic", reason="the extra reviews is not installed")

from app.errors import OutputError
from app.reviews.labels import State
from app.reviews.store import Order, ReviewStore
from app.settings import Blind, StoreLocation
from benchmarks.review_store import READER, fill, main, measure
from tests.app.reviews.databases import location, postgresql  # noqa: F401


def test_the_figures_on_both_databases(location: StoreLocation) -> None:  # noqa: F811
    found = measure(location, photos=60, reviews=16, writers=4, rounds=3)
    assert list(found["next_photo_ms"]) == [f"{order} {name}" for order in Order for name in (READER, "another")]
    for figures in (found["write_ms"], *found["next_photo_ms"].values()):
        assert 0 < figures["p50"] <= figures["p99"] <= figures["max"]
    assert found["write_ms"]["per_second"] > 0
    with closing(ReviewStore(location, Blind.EMPTY)) as store:
        assert store.counts() == {State.WAITING: 60, State.DISPUTED: 0, State.DONE: 0}
        written = [photo.id for photo in store.photos(readings=1) if photo.first_reader != READER]
        assert len(written) == 16
        assert min(written) > 30
        assert len(store.picture(1)[0]) == 10_000
        (entry,) = store.queue(reader=READER, state=State.WAITING, order=Order.UNCERTAINTY, limit=1)
        assert entry.id > 30, "the reader has read all before"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, store = tmp_path / "out.json", str(tmp_path / "store")
    status = main(
        ["--store", store, "--photos", "20", "--reviews", "4", "--writers", "2", "--rounds", "2", "--out", str(out)]
    )
    found = json.loads(out.read_text(encoding="utf-8"))
    assert json.loads(capsys.readouterr().out) == found
    assert status == (0 if all(found["reached"].values()) else 1)
    assert (found["database"], found["photos"], found["writers"]) == ("sqlite", 20, 2)


def test_a_store_that_is_not_empty_stays_as_it_is(tmp_path: Path) -> None:
    place = StoreLocation(tmp_path, None)
    fill(place, 2)
    with pytest.raises(OutputError, match="is not empty"):
        fill(place, 2)
    with pytest.raises(OutputError, match="1 photos are unread; 2 are to be"):
        measure(StoreLocation(tmp_path / "b", None), photos=2, reviews=2, writers=1, rounds=1)
