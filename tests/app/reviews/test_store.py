"""Photos are kept, queued, read, adjudicated and deleted, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from app.errors import InvalidParameter, ReadingClosed, ReviewConflict, ReviewStoreError, UnknownPhoto
from app.reviews.labels import LabelledBox, Labels, ReaderVerdict, State, View
from app.reviews.store import Entry, Order, ReviewStore, Selection, consensus_labels, view_of
from app.settings import Blind, StoreLocation
from tests.app.reviews.samples import HEIGHT, WIDTH, finding, keep, labels, picture, read


@pytest.fixture
def store(location: StoreLocation) -> Iterator[ReviewStore]:
    with closing(ReviewStore(location)) as opened:
        yield opened


@pytest.fixture
def blind(location: StoreLocation) -> Iterator[ReviewStore]:
    with closing(ReviewStore(location, Blind.EMPTY)) as opened:
        yield opened


def numbers(
    store: ReviewStore,
    reader: str = "a",
    state: State | None = State.WAITING,
    order: Order = Order.DATE,
    limit: int = 50,
    offset: int = 0,
) -> list[int]:
    return [photo.id for photo in store.queue(reader=reader, state=state, order=order, limit=limit, offset=offset)]


def test_a_photo_is_kept_once_with_what_was_said(store: ReviewStore) -> None:
    before = datetime.now(UTC)
    found = [finding(), finding(0.1, 0.2, 0.3)]
    number, is_new = store.keep(picture(), found, by="desk", patient="p1", view=View.FRONT)
    assert is_new
    assert store.keep(picture(), [finding()], by="other", patient=None, view=None) == (number, False)
    photo = store.photo(number)
    assert (photo.kept_by, photo.patient, photo.view, photo.state) == ("desk", "p1", "front", "waiting")
    assert (photo.width, photo.height, photo.media_type) == (WIDTH, HEIGHT, "image/jpeg")
    assert before <= photo.kept_at <= datetime.now(UTC)
    assert [row.finding for row in photo.findings] == found
    assert photo.disagreement == 1
    assert store.picture(number) == (picture().data, "image/jpeg")
    assert store.counts() == {State.WAITING: 1, State.DISPUTED: 0, State.DONE: 0}
    for unknown in (store.photo, store.picture):
        with pytest.raises(UnknownPhoto, match="no photo 99"):
            unknown(99)


def test_a_photo_that_several_keep_at_the_same_time_is_kept_once(store: ReviewStore) -> None:
    for number in range(4):
        with ThreadPoolExecutor(8) as desks:
            kept = [
                desks.submit(store.keep, picture(number), [finding()], by="a", patient=None, view=None)
                for _ in range(8)
            ]
            assert sorted(one.result()[1] for one in kept) == 7 * [False] + [True]
            assert len({one.result()[0] for one in kept}) == 1
    assert store.counts()[State.WAITING] == 4


def test_queues_by_uncertainty_disagreement_and_date(store: ReviewStore) -> None:
    sure, unsure, middle = (keep(store, place, score, 0.0, 0.0) for place, score in enumerate((1.0, 0.5, 0.8)))
    assert numbers(store, order=Order.UNCERTAINTY) == [unsure, middle, sure]
    assert numbers(store) == [sure, unsure, middle]
    assert numbers(store, limit=1, offset=1) == [unsure]
    disputed, _ = store.keep(picture(9), [finding(0.9, 0, 0), finding(0, 0.9, 0)], by="desk", patient=None, view=None)
    assert numbers(store, order=Order.DISAGREEMENT, limit=1) == [disputed]
    read(store, unsure, "a", 0)
    assert numbers(store, order=Order.UNCERTAINTY) == [middle, disputed, sure]
    assert numbers(store, state=State.DONE) == [unsure]
    assert numbers(store, state=None) == [sure, unsure, middle, disputed]


def test_open_reading_is_done_by_one_reader_and_seen_by_all(store: ReviewStore) -> None:
    number = keep(store)
    read(store, number, "a", 0)
    photo = store.photo(number)
    assert photo.state == State.DONE
    assert [(reading.reader, reading.version, reading.blind) for reading in store.visible_readings(photo, "b")] == [
        ("a", 1, False)
    ]
    assert store.findings_visible(photo)
    assert consensus_labels(photo) == labels(0)
    read(store, number, "b", 1)
    assert store.photo(number).state == State.DISPUTED
    assert consensus_labels(store.photo(number)) is None


def test_blind_readers_see_each_other_only_when_both_are_done(blind: ReviewStore) -> None:
    number = keep(blind)
    read(blind, number, "a", 0)
    photo = blind.photo(number)
    assert photo.state == State.WAITING
    assert numbers(blind, "a") == []
    assert numbers(blind, "b") == [number]
    assert [reading.reader for reading in blind.visible_readings(photo, "a")] == ["a"]
    assert blind.visible_readings(photo, "b") == []
    assert not blind.findings_visible(photo)
    with pytest.raises(ReviewConflict, match="has 1 readings; a consensus needs 2"):
        blind.write_consensus(number, Entry(labels=labels(0), reader="c"))
    read(blind, number, "a", 1, version=1)
    read(blind, number, "b", 0)
    photo = blind.photo(number)
    assert photo.state == State.DISPUTED
    assert [reading.reader for reading in blind.visible_readings(photo, "c")] == ["a", "b"]
    assert all(reading.blind for reading in photo.all_readings)
    assert blind.findings_visible(photo)
    for reader, version in (("a", 2), ("b", 1), ("c", 0)):
        with pytest.raises(ReadingClosed, match=f"both readings of photo {number} are done"):
            read(blind, number, reader, 0, version=version)
    blind.write_consensus(number, Entry(labels=labels(0), reader="c", view=View.CLOSE))
    photo = blind.photo(number)
    assert photo.state == State.DONE
    assert consensus_labels(photo) == labels(0)
    assert view_of(photo) == "close"
    assert len(photo.all_readings) == 2
    with pytest.raises(ReviewConflict, match="has version 1"):
        blind.write_consensus(number, Entry(labels=labels(1), reader="a"))
    blind.write_consensus(number, Entry(labels=labels(1), reader="a", version=1))
    assert consensus_labels(blind.photo(number)) == labels(1)


def test_a_reading_that_was_open_does_not_become_blind(location: StoreLocation) -> None:
    with closing(ReviewStore(location)) as store:
        number = keep(store)
        read(store, number, "a", 0)
    with closing(ReviewStore(location, Blind.EMPTY)) as store:
        read(store, number, "a", 1, version=1)
        read(store, number, "b", 1)
        assert [reading.blind for reading in store.photo(number).all_readings] == [False, True]


def test_the_state_of_a_photo_with_one_reading_follows_the_mode(location: StoreLocation) -> None:
    def states(blind: Blind) -> list[str]:
        with closing(ReviewStore(location, blind)) as store:
            store.settle()
            return [photo.state for photo in store.photos()]

    with closing(ReviewStore(location)) as store:
        once, twice, settled, _ = (keep(store, place) for place in range(4))
        for number in (once, twice, settled):
            read(store, number, "a", 0)
        read(store, twice, "b", 0)
        store.write_consensus(settled, Entry(labels=labels(1), reader="c"))
    assert states(Blind.OFF) == ["done", "done", "done", "waiting"]
    assert states(Blind.EMPTY) == ["waiting", "done", "done", "waiting"]
    with closing(ReviewStore(location, Blind.EMPTY)) as store:
        assert numbers(store, "a") == [4]
        assert numbers(store, "b") == [once, 4]
    assert states(Blind.OFF) == ["done", "done", "done", "waiting"]


def test_the_reading_of_the_one_who_kept_the_photo_is_not_blind(blind: ReviewStore) -> None:
    number = keep(blind, by="a")
    for reader in ("a", "b"):
        read(blind, number, reader, 0)
    assert [(reading.reader, reading.blind) for reading in blind.photo(number).all_readings] == [
        ("a", False),
        ("b", True),
    ]


def test_blind_readers_who_agree_need_no_adjudication(blind: ReviewStore) -> None:
    number = keep(blind)
    read(blind, number, "a", 0)
    read(blind, number, "b", 0, shift=2)
    photo = blind.photo(number)
    assert photo.state == State.DONE
    assert consensus_labels(photo) == labels(0, shift=1)


def test_a_reading_replaces_only_the_version_that_was_read(store: ReviewStore) -> None:
    number = keep(store)
    with pytest.raises(ReviewConflict, match="replaces version 1; the reading of photo 1 does not exist"):
        read(store, number, "a", 0, version=1)
    read(store, number, "a", 0)
    with pytest.raises(ReviewConflict, match="replaces version 0; the reading of photo 1 has version 1"):
        read(store, number, "a", 1)
    read(store, number, "a", 1, version=1)
    (reading,) = store.photo(number).all_readings
    assert (reading.version, reading.labels) == (2, labels(1))
    assert reading.created_at < reading.updated_at


def test_of_writers_at_the_same_time_one_wins(store: ReviewStore) -> None:
    number = keep(store)
    outcomes = []

    def write() -> None:
        try:
            read(store, number, "a", 0)
            outcomes.append("written")
        except ReviewConflict:
            outcomes.append("refused")

    writers = [threading.Thread(target=write) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(outcomes) == 7 * ["refused"] + ["written"]


def test_labels_that_do_not_fit_the_photo_are_refused(store: ReviewStore) -> None:
    number = keep(store)
    outside = Labels(ReaderVerdict.CARIOUS, (LabelledBox("caries", 0, 0, WIDTH + 1, 10),))
    with pytest.raises(InvalidParameter, match=r"box 1 is 0, 0, 161, 10; .* within 0, 0, 160, 120"):
        store.write_reading(number, Entry(labels=outside, reader="a"))
    assert store.photo(number).records == []


def test_photos_are_deleted_by_number_patient_and_age(store: ReviewStore) -> None:
    first, second, third, fourth = (keep(store, place, patient=f"p{place % 2}") for place in range(4))
    read(store, first, "a", 0)
    recorded = []
    assert store.delete(Selection(photo_id=first), lambda *photo: recorded.append(photo)) == 1
    assert [number for number, _ in recorded] == [first]
    assert store.delete(Selection(patient="p1"), lambda *photo: recorded.append(photo)) == 2
    assert [number for number, _ in recorded] == [first, second, fourth]
    assert store.delete(Selection(kept_before=datetime.now(UTC) - timedelta(days=1)), lambda *_: None) == 0
    assert numbers(store, state=None) == [third]
    for gone in (first, second, fourth):
        with pytest.raises(UnknownPhoto):
            store.picture(gone)
    assert store.delete(Selection(kept_before=datetime.now(UTC)), lambda *_: None) == 1
    assert store.delete(Selection(photo_id=third), lambda *_: None) == 0
    assert keep(store, 9) > fourth, "numbers are not used again"


def test_a_deletion_that_cannot_be_recorded_deletes_nothing(store: ReviewStore) -> None:
    number = keep(store)

    def fail(*_: object) -> None:
        raise ReviewStoreError("no record")

    with pytest.raises(ReviewStoreError, match="no record"):
        store.delete(Selection(photo_id=number), fail)
    assert store.picture(number)[0] == picture().data


def test_photos_are_deleted_page_by_page(store: ReviewStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.reviews.store.DELETE_PAGE", 2)
    kept = [keep(store, place) for place in range(5)]

    def fail_at_fourth(photo_id: int, _: str) -> None:
        if photo_id == kept[3]:
            raise ReviewStoreError("no record")

    everything = Selection(kept_before=datetime.now(UTC))
    with pytest.raises(ReviewStoreError, match="no record"):
        store.delete(everything, fail_at_fourth)
    assert numbers(store, state=None) == kept[2:]
    assert store.delete(everything, lambda *_: None) == 3
    assert numbers(store, state=None) == []


def test_all_photos_are_read_page_by_page(store: ReviewStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.reviews.store.PAGE", 2)
    kept = [keep(store, place) for place in range(5)]
    assert [photo.id for photo in store.photos()] == kept
    read(store, kept[3], "a", 0)
    read(store, kept[1], "a", 0)
    read(store, kept[3], "b", 0)
    assert [photo.id for photo in store.photos(State.DONE)] == [kept[1], kept[3]]
    assert [photo.id for photo in store.photos(readings=2)] == [kept[3]]


def test_a_store_continues_where_it_was(location: StoreLocation) -> None:
    with closing(ReviewStore(location)) as first:
        number = keep(first)
    with closing(ReviewStore(location, Blind.UNCLASSED)) as again:
        assert again.photo(number).id == number
