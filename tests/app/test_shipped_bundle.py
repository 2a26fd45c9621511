"""What the committed detector says, through the runtime that serves it."""

import json

import numpy as np
import pytest

from app.images import decode, encode
from app.runtimes import load_runtime
from app.screening import Verdict, assess_quality, box_iou, screen
from benchmarks.verdicts import pictures_without_teeth


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


@pytest.mark.parametrize("name", list(pictures_without_teeth()))
def test_a_picture_without_teeth_is_not_called_healthy(judge, name) -> None:
    assert judge(pictures_without_teeth()[name]).verdict is not Verdict.NO_CARIES_FOUND


@pytest.mark.parametrize("name", ["coffee", "plain grey wall", "noise", "brick", "coins", "grass", "black frame"])
def test_a_picture_without_teeth_is_not_assessable(judge, name) -> None:
    assert judge(pictures_without_teeth()[name]).verdict is Verdict.NOT_ASSESSABLE


def test_a_picture_without_teeth_stays_so_at_any_size(judge) -> None:
    cat = decode(encode(pictures_without_teeth()["cat"], "image/png")).pixels
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
