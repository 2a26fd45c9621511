from pathlib import Path

import numpy as np
import pytest

from app.detector.detections import Detections
from training.data.annotations import AnnotatedPhoto
from training.measure.metrics import (
    Counts,
    at_threshold,
    average_precisions,
    best_f1,
    bootstrap,
    coco_evaluation,
    coco_figures,
    match,
)

LEFT, RIGHT = [0.1, 0.1, 0.5, 0.4], [0.1, 0.6, 0.5, 0.9]
AWAY = [0.6, 0.1, 0.9, 0.4]


def photo(boxes, class_ids) -> AnnotatedPhoto:
    return AnnotatedPhoto(
        Path("x.jpg"), 400, 300, np.array(boxes, np.float32).reshape(-1, 4), np.array(class_ids, np.int32), "g", 0
    )


def test_a_perfect_detector_has_perfect_figures() -> None:
    photos = [photo([LEFT, RIGHT], [1, 2]), photo([LEFT], [2])]
    predictions = [Detections(item.boxes, np.ones(len(item.boxes)), item.class_ids) for item in photos]
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


def test_a_detector_that_sees_nothing_scores_zero() -> None:
    photos = [photo([LEFT, RIGHT], [1, 2])]
    assert average_precisions(coco_evaluation(photos, [Detections.empty()]))["mAP@.5"] == 0
    assert best_f1([match(photos[0], Detections.empty(), 2)])[1].f1 == 0


def test_each_label_is_found_once() -> None:
    found = Detections([LEFT, LEFT, AWAY, RIGHT], [0.9, 0.8, 0.7, 0.6], [2, 2, 2, 2])
    result = match(photo([LEFT, RIGHT], [2, 2]), found, 2)
    assert result.correct.tolist() == [True, False, False, True]
    assert result.labelled == 2


def test_a_label_of_another_class_does_not_count() -> None:
    result = match(photo([LEFT], [1]), Detections([LEFT], [0.9], [2]), 2)
    assert (result.correct.tolist(), result.labelled) == ([False], 0)


def test_best_f1_weighs_sensitivity_and_precision() -> None:
    found = Detections([LEFT, AWAY, RIGHT], [0.9, 0.5, 0.3], [2, 2, 2])
    threshold, counts = best_f1([match(photo([LEFT, RIGHT], [2, 2]), found, 2)])
    assert threshold == pytest.approx(0.3)
    assert counts == Counts(true=2, shown=3, labelled=2, photos=1)
    assert (counts.sensitivity, counts.precision, counts.f1) == (1, pytest.approx(2 / 3), pytest.approx(0.8))
    assert counts.false_positives_per_image == 1


def test_best_f1_is_reached_at_its_threshold_even_among_equal_scores() -> None:
    found = Detections([LEFT, AWAY], [0.5, 0.5], [2, 2])
    matches = [match(photo([LEFT], [2]), found, 2)]
    threshold, counts = best_f1(matches)
    assert at_threshold(matches, threshold) == counts


def test_bootstrap_interval_holds_the_mean_and_narrows_with_more_photos() -> None:
    def mean(values):
        return lambda sample: {"mean": float(np.mean([values[position] for position in sample]))}

    values = np.random.default_rng(0).normal(5, 1, 400)
    low, high = bootstrap(400, mean(values), resamples=300)["mean"]
    assert low < values.mean() < high
    assert high - low == pytest.approx(4 / np.sqrt(400), rel=0.2)
    few_low, few_high = bootstrap(25, mean(values), resamples=300)["mean"]
    assert few_high - few_low > 2 * (high - low)
