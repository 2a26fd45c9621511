"""COCO figures of detections worked out by hand, and against pycocotools on resamples."""

from pathlib import Path

import numpy as np
import pytest

from app.detector.detections import Detections
from tests.app.detector.listed import listed
from training.data.annotations import AnnotatedPhoto
from training.measure.coco import average_precisions, coco_evaluation, coco_figures
from training.measure.metrics import best_f1, match

LEFT, RIGHT = [0.1, 0.1, 0.5, 0.4], [0.1, 0.6, 0.5, 0.9]


def photo(boxes, class_ids) -> AnnotatedPhoto:
    return AnnotatedPhoto(
        Path("x.jpg"), 400, 300, np.array(boxes, np.float32).reshape(-1, 4), np.array(class_ids, np.int32), "g", 0
    )


def test_a_perfect_detector_has_perfect_figures() -> None:
    photos = [photo([LEFT, RIGHT], [1, 2]), photo([LEFT], [2])]
    predictions = [listed(item.boxes, np.ones(len(item.boxes)), item.class_ids) for item in photos]
    figures = average_precisions(coco_evaluation(photos, predictions))
    assert figures == pytest.approx({"mAP@.5:.95": 1, "mAP@.5": 1, "AP@.5 normal": 1, "AP@.5 caries": 1})
    assert coco_figures(coco_evaluation(photos, predictions))["AP"] == pytest.approx(1)


def test_resampled_figures_agree_with_pycocotools() -> None:
    random = np.random.default_rng(3)
    photos, predictions = [], []
    for _ in range(12):
        boxes = np.sort(random.random((6, 2, 2)), axis=1).reshape(6, 4)
        class_ids = random.integers(1, 3, 6)
        photos.append(photo(boxes, class_ids))
        noisy = np.clip(boxes + random.normal(0, 0.03, boxes.shape), 0, 1)
        predictions.append(Detections.from_raw(noisy, random.random(6), np.where(random.random(6) < 0.8, class_ids, 1)))
    evaluation = coco_evaluation(photos, predictions)
    for sample in (range(12), [3, 3, 0, 7, 3, 11, 0]):
        figures = average_precisions(evaluation, sample)
        drawn = coco_evaluation([photos[place] for place in sample], [predictions[place] for place in sample])
        official = coco_figures(drawn)
        assert figures["mAP@.5:.95"] == pytest.approx(official["AP"], abs=1e-12)
        assert figures["mAP@.5"] == pytest.approx(official["AP50"], abs=1e-12)
        assert 0.1 < official["AP"] < 0.95


def test_a_detector_without_detections_scores_zero() -> None:
    photos = [photo([LEFT, RIGHT], [1, 2])]
    assert average_precisions(coco_evaluation(photos, [Detections.empty()]))["mAP@.5"] == 0
    assert best_f1([match(photos[0], Detections.empty(), 2)])[1].f1 == 0
