"""An export is read by the training: pictures, consensus labels, and folds that keep patients together."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.errors import OutputError
from app.reviews.export import export
from app.reviews.labels import Labels, ReaderVerdict
from app.reviews.store import Entry, ReviewStore, Selection
from app.settings import StoreLocation
from tests.app.reviews.samples import HEIGHT, WIDTH, keep, labels, picture, read
from tests.conftest import needs_training


@pytest.fixture
def store(location: StoreLocation) -> Iterator[ReviewStore]:
    with closing(ReviewStore(location)) as opened:
        yield opened


def fill(store: ReviewStore) -> list[int]:
    """Six done photos of two patients and one of none, one not assessable, one disputed, one not read."""
    done = [keep(store, place, patient=f"p{place % 2}" if place else None) for place in range(6)]
    for number in done:
        read(store, number, "a", 0)
    dark, disputed, _ = (keep(store, place) for place in range(6, 9))
    store.write_reading(dark, Entry(labels=Labels(ReaderVerdict.NOT_ASSESSABLE), reader="a"))
    read(store, disputed, "a", 0)
    read(store, disputed, "b", 1)
    return done


def rows(folder: Path) -> dict[str, tuple[str, str]]:
    with (folder / "folds.csv").open(newline="") as file:
        return {row["image"]: (row["group"], row["fold"]) for row in csv.DictReader(file)}


@needs_training
def test_the_training_reads_an_export(store: ReviewStore, tmp_path: Path) -> None:
    from training.data.annotations import read_annotated_photos
    from training.data.data_sets import Labels as MeaningOfLabels
    from training.data.data_sets import find_data_set

    fill(store)
    assert export(store, tmp_path / "out") == 6
    photos = read_annotated_photos(tmp_path / "out")
    assert len(photos) == 6
    assert photos[0].class_ids.tolist() == [2, 1, 1]
    left, top, right, bottom = labels(0).boxes[0][1:]
    corners = [top / HEIGHT, left / WIDTH, bottom / HEIGHT, right / WIDTH]
    assert photos[0].boxes[0].tolist() == pytest.approx(corners)
    assert len({photo.group for photo in photos}) == 3
    assert find_data_set(tmp_path / "out")[0].labels is MeaningOfLabels.CARIOUS_TEETH_ONLY


def test_files_groups_and_folds(store: ReviewStore, tmp_path: Path) -> None:
    done = fill(store)
    assert export(store, tmp_path / "out") == 6
    found = rows(tmp_path / "out")
    assert list(found) == [f"photo-{number:06}.jpg" for number in done]
    assert [(tmp_path / "out" / "img_train" / name).read_bytes() for name in found] == [
        picture(place).data for place in range(6)
    ]
    groups = [group for group, _ in found.values()]
    assert groups[1] == groups[3] == groups[5] != groups[2] == groups[4]
    assert groups[0] not in groups[1:]
    content = json.loads((tmp_path / "out" / "json_train" / "photo-000001.json").read_text())["annotation"]
    assert content["filename"] == "photo-000001.jpg"
    assert [region["region_attributes"]["label"] for region in content["regions"]] == ["caries", "normal", "normal"]
    assert "p1" not in (tmp_path / "out" / "folds.csv").read_text()


def test_a_photo_keeps_its_fold_in_later_exports(store: ReviewStore, tmp_path: Path) -> None:
    done = fill(store)
    export(store, tmp_path / "first")
    store.delete(Selection(photo_id=done[0]), lambda *_: None)
    read(store, keep(store, 20), "a", 0)
    export(store, tmp_path / "second")
    first, second = rows(tmp_path / "first"), rows(tmp_path / "second")
    assert len(first.keys() & second.keys()) == 5
    assert all(first[name] == second[name] for name in first.keys() & second.keys())


def test_a_group_cannot_be_recomputed_from_a_pseudonym(tmp_path: Path) -> None:
    pytest.importorskip("alembic", reason="the extra reviews is not installed")
    groups = []
    for name in ("one", "two"):
        with closing(ReviewStore(StoreLocation(tmp_path / name, None))) as store:
            read(store, keep(store, patient="4711"), "a", 0)
            export(store, tmp_path / f"{name} exported")
        groups += [group for group, _ in rows(tmp_path / f"{name} exported").values()]
    assert groups[0] != groups[1]


def test_an_adjudicated_photo_has_the_labels_of_the_consensus(store: ReviewStore, tmp_path: Path) -> None:
    number = keep(store)
    read(store, number, "a", 0)
    read(store, number, "b", 1)
    assert export(store, tmp_path / "before") == 0
    store.write_consensus(number, Entry(labels=labels(2), reader="c"))
    assert export(store, tmp_path / "after") == 1
    content = json.loads((tmp_path / "after" / "json_train" / "photo-000001.json").read_text())
    shown = [region["region_attributes"]["label"] for region in content["annotation"]["regions"]]
    assert shown == ["normal", "normal", "caries"]


def test_an_export_is_complete_or_absent(store: ReviewStore, tmp_path: Path) -> None:
    fill(store)
    (tmp_path / "there").mkdir()
    with pytest.raises(OutputError, match="there exists; name a folder that does not"):
        export(store, tmp_path / "there")
    with pytest.raises(OutputError, match="cannot be written"):
        export(store, Path("/dev/null/out"))
    assert list((tmp_path / "there").iterdir()) == []
