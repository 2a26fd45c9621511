"""The committed detector on the held-out real photos: what its card claims, and what it has to beat."""

import pytest

from app.bundle import FLOAT32_MODEL, INT8_MODEL
from app.runtimes.litert import LiteRTRuntime
from training.annotations import read_annotated_photos
from training.evaluate import match_screened, predict
from training.metrics import at_threshold, average_precisions, best_f1, coco_evaluation

REFERENCE = {"mAP@.5:.95": 0.327, "mAP@.5": 0.632, "AP@.5 caries": 0.610, "best F1 caries": 0.623}
"""Stock settings, 800 steps, batch-norm statistics re-estimated, on the same fold."""


@pytest.fixture(scope="module")
def held_out(real_photos):
    return [photo for photo in read_annotated_photos(real_photos) if photo.fold == 0]


@pytest.mark.parametrize(("model", "file"), [("float32", FLOAT32_MODEL), ("int8", INT8_MODEL)])
def test_the_card_tells_the_truth(held_out, shipped_bundle, model, file) -> None:
    predictions = predict(LiteRTRuntime(shipped_bundle.path / file, threads=2), held_out)
    figures = average_precisions(coco_evaluation(held_out, predictions))
    figures["best F1 caries"] = best_f1(match_screened(held_out, predictions))[1].f1
    claimed = shipped_bundle.manifest["metrics"]["models"][model]["figures"]
    for name, value in figures.items():
        # Another processor rounds otherwise, which moves a box across an IoU bound now and then.
        assert value == pytest.approx(claimed[name]["value"], abs=0.005), name


def test_the_reference_run_is_beaten(shipped_bundle) -> None:
    figures = shipped_bundle.manifest["metrics"]["models"]["float32"]["figures"]
    for name, value in REFERENCE.items():
        assert figures[name]["value"] > value, name


def test_the_operating_point_is_no_better_than_its_threshold_allows(held_out, shipped_bundle) -> None:
    """The cross-fitted figures must not exceed what the chosen threshold reaches on the photos it was chosen on."""
    predictions = predict(LiteRTRuntime(shipped_bundle.path / FLOAT32_MODEL, threads=2), held_out)
    counts = at_threshold(match_screened(held_out, predictions), shipped_bundle.operating_point.score_threshold - 1e-5)
    assert shipped_bundle.manifest["operating_point"]["f1"] <= counts.f1 + 1e-3
