"""What the committed detector says, through the runtime that serves it."""

import json
from collections import Counter, defaultdict

import numpy as np
import pytest
import skimage.data

from app.images import decode, encode
from app.runtimes import load_runtime
from app.screening import Verdict, assess_quality, box_iou, screen
from benchmarks.other_pictures import pictures


@pytest.fixture(scope="module")
def judge(shipped_bundle):
    runtime = load_runtime(shipped_bundle, "litert", threads=2)
    point = shipped_bundle.operating_point

    def judge(pixels):
        return screen(
            runtime.detect(pixels),
            assess_quality(pixels),
            screened_class_id=shipped_bundle.screened_class_id,
            score_threshold=point.score_threshold,
            max_boxes=100,
        )

    return judge


@pytest.fixture(scope="module")
def verdicts(judge) -> dict[str, Counter]:
    """How often which verdict was given to the pictures of other things, by kind."""
    found: dict[str, Counter] = defaultdict(Counter)
    for kind, _, picture in pictures():
        found[kind][judge(picture).verdict] += 1
    return found


@pytest.mark.parametrize("kind", ["one colour", "ramps", "noise", "scikit-image's"])
def test_a_picture_of_something_else_is_never_called_healthy(verdicts, kind) -> None:
    assert verdicts[kind].total() > 20
    assert verdicts[kind][Verdict.NO_CARIES_FOUND] == 0


def test_heaps_and_patterns_are_called_healthy_seldom(verdicts) -> None:
    """README, Limits: these detectors saw no such thing in their training."""
    drawn = verdicts["heaps of shapes"] + verdicts["patterns"]
    assert drawn.total() == 172
    assert drawn[Verdict.NO_CARIES_FOUND] <= 9


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
    assert judge(np.ascontiguousarray(colours)).verdict is Verdict.NOT_ASSESSABLE


def test_a_picture_of_something_else_stays_so_at_any_size(judge) -> None:
    cat = decode(encode(skimage.data.cat(), "image/png")).pixels
    for factor in (1, 2, 4):
        larger = np.repeat(np.repeat(cat, factor, axis=0), factor, axis=1)
        assert judge(larger).verdict is not Verdict.NO_CARIES_FOUND


def test_lesions_of_the_examples_are_found(judge, example_photos, shipped_bundle) -> None:
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


def test_the_card_holds_what_a_clinic_must_know(shipped_bundle) -> None:
    for words in ("not a medical device", "CC BY 4.0", "Intended use", "Limits", "Parity", "Apache-2.0"):
        assert words in shipped_bundle.card
