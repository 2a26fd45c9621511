"""Assessments of synthetic predictions, and two implementations of the COCO metrics compared."""

import contextlib
import io

import numpy as np
import pytest

from app.detector.detections import Detections
from tests.app.detector.listed import listed
from tests.training.measure.conftest import synthetic
from training.data.annotations import read_annotated_photos
from training.measure.assessment import assess
from training.measure.coco import COCO_NAMES, coco_evaluation, coco_figures
from training.measure.plots import write_plots
from training.measure.report import markdown
from training.measure.sources import assess_sources


def test_every_figure_lies_within_its_interval_and_its_range() -> None:
    photos, predictions = synthetic(1)
    result = assess(photos, predictions, score_threshold=0.4, resamples=60)
    for name, (value, interval) in result.figures.items():
        assert value is not None, name
        assert interval is not None, name
        assert interval[0] <= interval[1], name
        assert 0 <= value <= (100 if name == "false positives per photo" else 1), name
    assert result.figures["mAP@.5"][0] == pytest.approx(result.coco["AP50"])
    assert result.confusion.sum() >= 8 * 12
    assert result.as_dict()["confusion"]["classes"] == ["normal", "caries", "none"]


def test_photos_without_a_sound_one_have_no_auc_and_say_so() -> None:
    photos, predictions = synthetic(2, caries=1.0)
    result = assess_sources(photos, predictions, resamples=20)
    assert result.figures["photo AUC"] == (None, None)
    assert "| photo AUC | - |  |" in markdown(result, "# Synthetic")


def test_photos_without_a_carious_tooth_have_no_figures_of_it_and_are_drawn(tmp_path) -> None:
    photos, predictions = synthetic(2, caries=0.0)
    result = assess_sources(photos, predictions, resamples=20)
    for figure in ("AP@.5 caries", "best F1 caries", "sensitivity", "F1", "FROC mean sensitivity"):
        assert result.figures[figure] == (None, None), figure
    assert result.figures["mAP@.5"] == result.figures["AP@.5 normal"]
    assert write_plots(result, tmp_path)


def test_an_interval_is_of_the_resamples_that_give_the_figure() -> None:
    photos, _ = synthetic(2, caries=0.0)
    photos[0].class_ids[:] = 2
    perfect = [listed(photo.boxes, np.ones(len(photo.boxes)), photo.class_ids) for photo in photos]
    # A third of the resamples lack the one photo with caries.
    figures = assess(photos, perfect, resamples=60).figures
    for figure in ("mAP@.5", "AP@.5 caries", "best F1 caries", "sensitivity"):
        value, interval = figures[figure]
        assert value == pytest.approx(1), figure
        assert interval == pytest.approx((1, 1)), figure
    without = assess(photos[1:], perfect[1:], resamples=20).figures
    assert without["best F1 caries"] == (None, None)


def test_no_detection_at_all_is_measured_as_such() -> None:
    photos, _ = synthetic(3)
    result = assess(photos, [Detections.empty()] * len(photos), resamples=20)
    assert result.figures["mAP@.5"][0] == 0
    assert result.figures["calibration error"] == (None, None)
    assert result.confusion[:-1, -1].sum() == 8 * 12


def by_the_second_implementation(photos, predictions) -> list[float]:
    """The 12 numbers by faster-coco-eval, from the same labels and detections."""
    from faster_coco_eval import COCO, COCOeval_faster

    evaluation = coco_evaluation(photos, predictions)
    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        truth.dataset, found.dataset = evaluation.cocoGt.dataset, evaluation.cocoDt.dataset
        truth.createIndex()
        found.createIndex()
        second = COCOeval_faster(truth, found, "bbox", print_function=lambda *_: None)
        second.evaluate()
        second.accumulate()
        second.summarize()
    return list(second.stats[: len(COCO_NAMES)])


@pytest.mark.parametrize("seed", range(3))
def test_two_implementations_of_the_coco_numbers_agree(seed) -> None:
    photos, predictions = synthetic(seed)
    ours = list(coco_figures(coco_evaluation(photos, predictions)).values())
    assert ours == pytest.approx(by_the_second_implementation(photos, predictions), abs=1e-9)


def test_two_implementations_agree_on_the_shipped_detector(real_photos, shipped_bundle) -> None:
    from app.detector.runtimes.litert import LiteRTRuntime
    from training.measure.predictions import predict

    photos = [photo for photo in read_annotated_photos(real_photos) if photo.fold == 0]
    predictions = predict(LiteRTRuntime(shipped_bundle.path / "model_int8.tflite", threads=2), photos)
    ours = list(coco_figures(coco_evaluation(photos, predictions)).values())
    assert ours == pytest.approx(by_the_second_implementation(photos, predictions), abs=1e-9)
