"""What the committed detector finds, through the runtime that serves it."""

import json
from collections import Counter, defaultdict

import numpy as np
import pytest
import skimage.data

from app.detector.boxes import box_iou
from app.detector.bundle import find_bundle
from app.detector.runtimes.load import load_runtime
from app.errors import BundleError
from app.photo.decoding import decode
from app.photo.encoding import encode
from app.photo.quality import assess_quality
from app.screening import Verdict, screen
from benchmarks.other_pictures import pictures


@pytest.fixture(scope="module")
def judge(shipped_bundle):
    runtime = load_runtime(shipped_bundle, "litert", threads=2)

    def judge(pixels):
        seen = runtime.detect(pixels)
        return screen(
            shipped_bundle.calibrated(seen),
            assess_quality(pixels),
            seen=seen,
            screened_class_id=shipped_bundle.screened_class_id,
            score_threshold=shipped_bundle.operating_point.score_threshold,
            max_boxes=100,
        )

    return judge


@pytest.fixture(scope="module")
def verdicts(judge) -> dict[str, Counter]:
    """Counts of each verdict on pictures of other subjects, by kind."""
    found: dict[str, Counter] = defaultdict(Counter)
    for kind, _, picture in pictures():
        found[kind][judge(picture).verdict] += 1
    return found


def test_a_picture_of_something_else_is_never_called_healthy(verdicts) -> None:
    assert sum(verdicts.values(), Counter()).total() == 366
    assert all(found.total() > 20 and found[Verdict.NO_CARIES_FOUND] == 0 for found in verdicts.values()), verdicts


@pytest.mark.parametrize("kind", ["one colour", "ramps"])
def test_a_picture_of_nothing_is_not_assessable(verdicts, kind) -> None:
    assert set(verdicts[kind]) == {Verdict.NOT_ASSESSABLE}


@pytest.mark.parametrize("name", ["coffee", "brick", "coins", "grass", "noise"])
def test_a_picture_of_something_else_is_not_assessable(judge, name) -> None:
    if name == "noise":
        picture = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    else:
        picture = getattr(skimage.data, name)()
    colours = picture if picture.ndim == 3 else np.stack([picture] * 3, axis=2)
    # README, Limits: a cup is suspected.
    expected = Verdict.CARIES_SUSPECTED if name == "coffee" else Verdict.NOT_ASSESSABLE
    assert judge(np.ascontiguousarray(colours)).verdict is expected


def test_a_picture_of_something_else_is_not_assessable_at_any_size(judge) -> None:
    cat = decode(encode(skimage.data.cat(), "image/png")).pixels
    for factor in (1, 2, 4):
        larger = np.repeat(np.repeat(cat, factor, axis=0), factor, axis=1)
        assert judge(larger).verdict is not Verdict.NO_CARIES_FOUND


def test_lesions_of_the_examples_are_found(judge, example_photos) -> None:
    found = labelled = 0
    for path in example_photos:
        pixels = decode(path.read_bytes()).pixels
        screening = judge(pixels)
        regions = json.loads((path.parents[1] / "json_train" / f"{path.stem}.json").read_text())["annotation"][
            "regions"
        ]
        lesions = [r["shape_attributes"] for r in regions if r["region_attributes"]["label"] == "caries"]
        assert screening.verdict is (Verdict.CARIES_SUSPECTED if lesions else Verdict.NO_CARIES_FOUND), path.name
        boxes = np.array([[b["y"], b["x"], b["y"] + b["height"], b["x"] + b["width"]] for b in lesions], np.float32)
        shown = screening.shown.in_pixels(pixels.shape[1], pixels.shape[0])
        if len(boxes):
            found += int((box_iou(boxes, shown).max(axis=1, initial=0) >= 0.5).sum())
        labelled += len(boxes)
    assert labelled >= 5
    assert found / labelled >= 0.75


def test_a_photo_of_teeth_is_assessable(judge, real_photos) -> None:
    """Ninety-eight of a hundred at least."""
    photos = sorted(real_photos.rglob("*.jpg"))
    verdicts = Counter(judge(decode(photo.read_bytes()).pixels).verdict for photo in photos)
    assert verdicts.total() == 209
    assert verdicts[Verdict.NOT_ASSESSABLE] <= 4, verdicts


def test_one_look_is_the_default(shipped_bundle) -> None:
    assert shipped_bundle.name == "caries-ssd-mobilenet-v2-fpnlite-320"
    assert (shipped_bundle.input_height, shipped_bundle.input_width) == (320, 320)
    assert "multi_scale" not in shipped_bundle.manifest["input"]


def test_a_model_that_left_the_store_names_its_successor(model_store) -> None:
    with pytest.raises(BundleError, match="caries-ssd-mobilenet-v2-fpnlite-320"):
        find_bundle(model_store, "caries-ssd-mobilenet-v2-fpnlite")


def test_the_card_contains_what_a_clinic_must_know(shipped_bundle) -> None:
    for words in ("not a medical device", "CC BY 4.0", "Intended use", "Limits", "Parity", "Apache-2.0"):
        assert words in shipped_bundle.card
