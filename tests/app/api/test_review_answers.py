"""What readers may see of a photo, as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("alembic", reason="the extra reviews is not installed")

from app.api.review_answers import PhotoEntry, ReviewedPhoto, SentRecord
from app.reviews.labels import CARIES, LabelledBox, Labels, ReaderVerdict
from app.reviews.store import Entry, ReviewStore
from app.settings import Blind, StoreLocation
from tests.app.reviews.samples import keep, labels, read


@pytest.fixture(params=list(Blind))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ReviewStore]:
    with closing(ReviewStore(StoreLocation(tmp_path, None), request.param)) as opened:
        yield opened


def test_scores_are_shown_in_open_reading_only(store: ReviewStore) -> None:
    keep(store, 0, 0.5, 0.0, 0.0)
    entry = PhotoEntry.from_row(store.photo(1), store.blind)
    assert (entry.uncertainty, entry.disagreement) == ((1.0, 0.0) if store.blind is Blind.OFF else (None, None))


def test_what_is_hidden_until_both_readings_are_done(store: ReviewStore) -> None:
    number, is_open = keep(store), store.blind is Blind.OFF
    read(store, number, "a", 0)
    shown = ReviewedPhoto.from_row(store, store.photo(number), "b")
    assert (shown.detections is not None, len(shown.readings), shown.reading) == (is_open, int(is_open), None)
    assert len(shown.start) == (0 if store.blind is Blind.EMPTY else 3)
    own = ReviewedPhoto.from_row(store, store.photo(number), "a")
    assert own.reading is not None
    assert [tooth.class_name for tooth in own.reading.boxes] == ["caries", "normal", "normal"]
    read(store, number, "b", 0)
    done = ReviewedPhoto.from_row(store, store.photo(number), "a")
    assert (len(done.readings), done.detections is not None) == (2, True)


@pytest.mark.parametrize("later", [Blind.EMPTY, Blind.UNCLASSED])
def test_a_consensus_of_open_reading_is_hidden_from_blind_readers(tmp_path: Path, later: Blind) -> None:
    location = StoreLocation(tmp_path, None)
    with closing(ReviewStore(location)) as store:
        read(store, keep(store), "a", 0)
        store.write_consensus(1, Entry(labels=labels(1), reader="b"))
        assert ReviewedPhoto.from_row(store, store.photo(1), "c").consensus is not None
    with closing(ReviewStore(location, later)) as store:
        assert ReviewedPhoto.from_row(store, store.photo(1), "c").consensus is None


def test_a_sent_record_becomes_labels() -> None:
    text = '{"version": 1, "verdict": "carious", "boxes": [{"class": "caries", "box": %s}]}'
    sent = SentRecord.model_validate_json(text % '{"xmin": 1, "ymin": 2.5, "xmax": 3, "ymax": 4}')
    assert sent.labels == Labels(ReaderVerdict.CARIOUS, (LabelledBox(CARIES, 1, 2.5, 3, 4),))
    assert labels(0).verdict is ReaderVerdict.CARIOUS
