"""One turn of the circle, on a store of made-up reviews and a training of one step."""

import io
import json
import secrets
import shutil
from contextlib import closing

import pytest
from PIL import Image

pytest.importorskip("alembic", reason="the extra reviews is not installed")

from app.detector.bundle import list_bundles, list_comparisons, read_bundle
from app.photo.without_metadata import without_metadata
from app.reviews.labels import LabelledBox, ReaderVerdict
from app.reviews.labels import Labels as Reviewed
from app.reviews.store import Entry, ReviewStore
from app.settings import StoreLocation
from tests.app.reviews.samples import finding, keep, read
from tests.training.bundles import BLIND_THRESHOLD, altered
from tests.training.render.small_mouths import small
from training.cli import main
from training.data.annotations import read_data
from training.data.data_sets import Labels
from training.data.seen_photos import Use, identities
from training.improve import TEST_FOLD, export_reviews, start_bundle
from training.measure import head_to_head
from training.measure.held_out import seen_photos
from training.measure.report import MEAN
from training.run_folder import RunError

pytestmark = pytest.mark.slow

PHOTOS = 24


@pytest.fixture(scope="module")
def reviews(tmp_path_factory) -> StoreLocation:
    """A store of photos that one reader has read, the first two of them without a carious tooth.

    Its secret is fixed, and so are the folds: of 24 photos at random a fold may be without any.
    """
    location = StoreLocation(tmp_path_factory.mktemp("reviews"), None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "token_hex", lambda size: size * "5a")
        opened = ReviewStore(location)
    with closing(opened) as store:
        for number in range(PHOTOS):
            read(store, keep(store, number), "kim", *([0] if number > 1 else []))
        keep(store, PHOTOS)
    return location


def test_no_photo_of_the_test_is_trained_on(reviews, tmp_path) -> None:
    export_reviews(reviews, tmp_path / "reviews")
    training, test = (read_data(tmp_path / "reviews" / part) for part in ("training", "test"))
    assert len(training.photos) + len(test.photos) == PHOTOS
    assert {photo.fold for photo in test.photos} == {TEST_FOLD}
    assert {photo.fold for photo in training.photos} == {0, 1, 2, 3}
    for part in (training, test):
        assert (part.data_sets[0].name, part.data_sets[0].labels) == ("reviewed", Labels.CARIOUS_TEETH_ONLY)
    before = (tmp_path / "reviews").stat().st_mtime_ns
    export_reviews(StoreLocation(tmp_path / "gone", None), tmp_path / "reviews")
    assert (tmp_path / "reviews").stat().st_mtime_ns == before, "exported once"
    assert [path.name for path in tmp_path.iterdir()] == ["reviews"]


def test_a_turn_starts_from_one_bundle(shipped_bundle, tmp_path) -> None:
    store, out = tmp_path / "store", tmp_path / "out"
    altered(shipped_bundle, store, version=1)
    assert start_bundle(store, out).version == 1
    altered(shipped_bundle, store, version=2)
    assert start_bundle(store, out).version == 1, "the newest when it was begun"
    with pytest.raises(RunError, match="was begun with another bundle"):
        start_bundle(store, out, "other")
    shutil.rmtree(store / shipped_bundle.name / "1")
    altered(shipped_bundle, store, version=1, threshold=0.9)
    with pytest.raises(RunError, match="was begun with another bundle"):
        start_bundle(store, out)


def test_a_bundle_that_was_better_is_installed_after_an_interruption(shipped_bundle, reviews, tmp_path, capsys) -> None:
    store, out = tmp_path / "store", tmp_path / "out"
    altered(shipped_bundle, store, version=1)
    start_bundle(store, out)
    altered(shipped_bundle, out / "run" / "bundle", version=2)
    new = {"name": shipped_bundle.name, "version": 2}
    (out / "comparison.json").write_text(json.dumps({"is_better": True, "reason": "F1", "new": new}))
    for _ in range(2):
        assert improve(reviews, store, out) == 0
        assert [version for _, version, _ in list_bundles(store)] == [1, 2]
    shutil.rmtree(out / "run")
    assert improve(reviews, store, out) == 0
    assert "finished earlier: F1" in capsys.readouterr().err


def improve(reviews, store, out, *more: str) -> int:
    command = ["improve", "--reviews", str(reviews.folder), "--model-store", str(store), "--out", str(out)]
    return main([*command, "--resamples", "10", *more])


def test_without_enough_photos_to_compare_on_nothing_is_trained(shipped_bundle, reviews, tmp_path, capsys) -> None:
    store = tmp_path / "store"
    altered(shipped_bundle, store, version=1, trained=None)
    assert improve(reviews, store, tmp_path / "out") == 1
    assert f"{shipped_bundle.name} 1: the photos of the training are not listed" in capsys.readouterr().err
    assert improve(reviews, store, tmp_path / "out", "--trust-unlisted") == 1
    assert "are left that no detector has seen; 10 are needed" in capsys.readouterr().err
    assert not (tmp_path / "out" / "run").exists()


def test_one_command_trains_compares_and_installs_or_refuses(
    tiny_run, rendered_data, reviews, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(head_to_head, "MIN_PHOTOS", 2)
    store, out = tmp_path / "store", tmp_path / "out"
    shutil.copytree(tiny_run / "bundle", store)
    further = ["--data", str(rendered_data), "--set", "num_steps=2", "--set", "rendered_photos=0"]
    status = improve(reviews, store, out, *further)
    printed = capsys.readouterr()
    assert status in (0, 3), printed.err[-2000:]
    comparison = json.loads((out / "comparison.json").read_text())
    assert status == (0 if comparison["is_better"] else 3)
    assert f"tiny 2 is {'better' if comparison['is_better'] else 'not better'}" in printed.out
    assert [version for _, version, _ in list_bundles(store)] == ([1, 2] if comparison["is_better"] else [1])
    assert [path.name for path in list_comparisons(store)] == ["2.comparison.json"]
    made = out / "run" / "bundle" / "tiny" / "2"
    manifest = read_bundle(made).manifest
    assert manifest["started_from"]["name"] == manifest["teeth_from"]["name"].split()[0] + " 1" == "tiny 1"
    assert [one["name"] for one in manifest["data"]["sets"]] == [rendered_data.name, "reviewed"]
    seen = seen_photos(made)
    assert not seen.unlisted
    assert set(seen.uses(identities(read_data(out / "reviews" / "test").photos))) == {None}
    assert Use.TRAINED in seen.uses(identities(read_data(out / "reviews" / "training").photos))
    assert {photo.use for photo in seen.photos} == {Use.TRAINED, Use.CALIBRATED}, "the same photos as before, and more"

    before = made.stat().st_mtime_ns
    assert improve(reviews, store, out, *further) == status
    assert "finished earlier" in capsys.readouterr().err
    assert made.stat().st_mtime_ns == before


MOUTHS = 36
GENTLE = (
    *("num_steps=2", "batch_size=4", "learning_rate_base=0.001", "warmup_learning_rate=0.0", "warmup_steps=1"),
    *("rendered_photos=0", "other_pictures=0", "rotation=0.0", "zoom_out=0.0", "white_balance=0.0"),
    *('data_augmentation=["random_horizontal_flip {}"]', "batch_norm_decay=0.0"),
)
"""Changes of the shipped recipe, so that a training takes seconds and keeps what the weights know.

A decay of 0 saves the re-estimation of the statistics."""


def read_mouth(store: ReviewStore, seed: int) -> None:
    """Keep a rendered photo, with a reading that is exactly right."""
    mouth, file = small(seed), io.BytesIO()
    Image.fromarray(mouth.image).save(file, "JPEG", quality=92)
    photo_id, _ = store.keep(without_metadata(file.getvalue()), [finding()], by="desk", patient=f"p{seed}", view=None)
    boxes = tuple(
        LabelledBox(name, xmin, ymin, xmax, ymax)
        for (ymin, xmin, ymax, xmax), name in zip(mouth.boxes.tolist(), mouth.labels, strict=True)
    )
    verdict = ReaderVerdict.CARIOUS if "caries" in mouth.labels else ReaderVerdict.SOUND
    store.write_reading(photo_id, Entry(labels=Reviewed(verdict, boxes), reader="kim"))


def test_a_bundle_that_the_command_trained_replaces_one_that_marks_nothing(
    shipped_bundle, tmp_path, monkeypatch, capsys
) -> None:
    """The old bundle has the shipped weights and a threshold that no box reaches; the new one starts from them."""
    location, store, out = StoreLocation(tmp_path / "reviews", None), tmp_path / "store", tmp_path / "out"
    with monkeypatch.context() as patch:
        # With this secret of the store, 9 mouths calibrate and 11 are for the test.
        patch.setattr(secrets, "token_hex", lambda size: size * "02")
        opened = ReviewStore(location)
    with closing(opened):
        for seed in range(MOUTHS):
            read_mouth(opened, seed)
    blind = read_bundle(altered(shipped_bundle, store, version=1, threshold=BLIND_THRESHOLD))
    status = improve(location, store, out, *(word for change in GENTLE for word in ("--set", change)))
    printed = capsys.readouterr()
    assert status == 0, printed.err[-2000:]
    assert f"improve   installed: {blind.name} 2" in printed.err
    assert [version for _, version, _ in list_bundles(store)] == [1, 2]
    made, installed = (read_bundle(folder / blind.name / "2") for folder in (out / "run" / "bundle", store))
    assert installed.sha256 == made.sha256
    assert installed.manifest["started_from"]["name"] == f"{blind.name} 1"
    comparison = json.loads((out / "comparison.json").read_text())
    assert json.loads(list_comparisons(store)[0].read_text()) == comparison
    assert (comparison["old"]["sha256"], comparison["new"]["sha256"]) == (blind.sha256, installed.sha256)
    assert sum(comparison["photos"].values()) == 11
    figures = comparison["figures"][MEAN][head_to_head.DECISIVE]
    assert figures["old"] == 0
    assert figures["new"] > 0.5
