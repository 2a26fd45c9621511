"""Figures of agreement against values worked out by hand."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest

from app.reviews.agreement import Comparison, agreement, kappa
from app.reviews.labels import READERS, Labels, ReaderVerdict, State, View
from app.reviews.schema import READING, PhotoRow, RecordRow
from app.reviews.store import Entry, ReviewStore
from app.settings import Blind, StoreLocation
from tests.app.reviews.samples import keep, labels, read


def test_kappa_of_a_textbook_table() -> None:
    """Cohen 1960 as in common textbooks: 20 and 15 agreed, 5 and 10 not: 0.4."""
    calls = Counter({("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15})
    assert kappa(calls) == pytest.approx(0.4)
    assert kappa(Counter()) is None
    assert kappa(Counter({("yes", "yes"): 9})) is None
    assert kappa(Counter({("yes", "no"): 1, ("no", "yes"): 1})) == -1


def test_two_labellers() -> None:
    comparison = Comparison()
    comparison.add(Comparison.from_photo(labels(0), labels(0, shift=4), ()))
    comparison.add(Comparison.from_photo(labels(0, 1), labels(1), ()))
    found = comparison.as_dict()
    assert (found["photos"], found["teeth"]) == (2, 6)
    assert found["f1_05"] == pytest.approx(4 / 5)
    assert found["f1_075"] == pytest.approx(4 / 5)  # 26 of 34 pixels overlap
    # Teeth: both carious 2, first only 1, neither 3.
    assert found["kappa_tooth"] == pytest.approx((5 / 6 - 18 / 36) / (1 - 18 / 36), abs=1e-4)
    assert found["kappa_photo"] is None
    comparison.add(Comparison.from_photo(labels(), labels(0), ()))
    assert comparison.as_dict()["kappa_photo"] == 0
    assert comparison.as_dict()["f1_05"] == pytest.approx(4 / 6, abs=1e-4)


def test_teeth_that_only_the_detector_has_a_box_of_count() -> None:
    sparse = Labels(ReaderVerdict.CARIOUS, labels(0).boxes[:1])
    comparison = Comparison.from_photo(sparse, sparse, labels(0).boxes)
    assert comparison.as_dict()["teeth"] == 3
    assert comparison.as_dict()["kappa_tooth"] == 1


@pytest.fixture
def store(location: StoreLocation) -> Iterator[ReviewStore]:
    with closing(ReviewStore(location, Blind.EMPTY)) as opened:
        yield opened


def test_readers_consensus_and_detector_by_view(store: ReviewStore) -> None:
    agreed, settled, _ = keep(store, 0, view=View.FRONT), keep(store, 1, view=View.CLOSE), keep(store, 2)
    open_one, lonely = keep(store, 3), keep(store, 4)
    for number in (agreed, settled, open_one):
        read(store, number, "a", 0)
        read(store, number, "b", *((0,) if number == agreed else (1,)))
    read(store, lonely, "a", 0)
    store.write_consensus(settled, Entry(labels=labels(0), reader="c"))
    found = agreement(store.photos())
    assert found == agreement(store.photos(readings=READERS))
    assert found["photos"] == 3
    (pair,) = found["pairs"]
    assert (pair["readers"], pair["photos"], pair["f1_05"]) == (["a", "b"], 3, pytest.approx(1 / 3, abs=1e-4))
    assert {view: figures["f1_05"] for view, figures in pair["by_view"].items()} == {"close": 0, "front": 1}
    assert {one["reader"]: (one["photos"], one["f1_05"]) for one in found["readers"]} == {"a": (2, 1), "b": (2, 0.5)}
    (detector,) = found["detectors"]
    assert (detector["model"], detector["version"], detector["photos"], detector["f1_05"]) == ("stand-in", 1, 2, 1)


def test_readings_that_were_not_blind_do_not_count(location: StoreLocation) -> None:
    with closing(ReviewStore(location)) as store:
        number = keep(store)
        read(store, number, "a", 0)
        read(store, number, "b", 0)
        assert agreement(store.photos()) == {"photos": 0, "pairs": [], "readers": [], "detectors": []}


def test_photos_do_not_stay_in_memory() -> None:
    alive: weakref.WeakSet[PhotoRow] = weakref.WeakSet()
    most = 0

    def photos() -> Iterator[PhotoRow]:
        nonlocal most
        for number in range(20):
            photo = blind_photo(number)
            alive.add(photo)
            yield photo
            del photo
            gc.collect()
            most = max(most, len(alive))

    assert agreement(photos())["photos"] == 20
    assert most <= 2


def blind_photo(number: int) -> PhotoRow:
    """A photo that two blind readers agree on."""
    boxes = [box.as_dict() for box in labels(0).boxes]
    about = {"kind": READING, "verdict": "carious", "boxes": boxes, "blind": True}
    records = [RecordRow(reader=reader, **about) for reader in "ab"]
    return PhotoRow(id=number, state=State.DONE, view="front", records=records, findings=[])
