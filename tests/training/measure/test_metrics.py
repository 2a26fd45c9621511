import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.app.detector.listed import listed
from training.data.annotations import AnnotatedPhoto
from training.measure.metrics import (
    Counts,
    Matches,
    at_threshold,
    best_f1,
    bootstrap,
    match,
    operating_point,
)

LEFT, RIGHT = [0.1, 0.1, 0.5, 0.4], [0.1, 0.6, 0.5, 0.9]
AWAY = [0.6, 0.1, 0.9, 0.4]


def photo(boxes, class_ids) -> AnnotatedPhoto:
    return AnnotatedPhoto(
        Path("x.jpg"), 400, 300, np.array(boxes, np.float32).reshape(-1, 4), np.array(class_ids, np.int32), "g", 0
    )


def test_each_label_is_found_once() -> None:
    found = listed([LEFT, LEFT, AWAY, RIGHT], [0.9, 0.8, 0.7, 0.6], [2, 2, 2, 2])
    result = match(photo([LEFT, RIGHT], [2, 2]), found, 2)
    assert result.correct.tolist() == [True, False, False, True]
    assert result.labelled == 2


def test_a_label_of_another_class_does_not_count() -> None:
    result = match(photo([LEFT], [1]), listed([LEFT], [0.9], [2]), 2)
    assert (result.correct.tolist(), result.labelled) == ([False], 0)


def test_best_f1_weighs_sensitivity_and_precision() -> None:
    found = listed([LEFT, AWAY, RIGHT], [0.9, 0.5, 0.3], [2, 2, 2])
    threshold, counts = best_f1([match(photo([LEFT, RIGHT], [2, 2]), found, 2)])
    assert threshold == pytest.approx(0.3)
    assert counts == Counts(true=2, shown=3, labelled=2, photos=1)
    assert (counts.sensitivity, counts.precision, counts.f1) == (1, pytest.approx(2 / 3), pytest.approx(0.8))
    assert counts.false_positives_per_image == 1


def test_best_f1_is_reached_at_its_threshold_even_among_equal_scores() -> None:
    found = listed([LEFT, AWAY], [0.5, 0.5], [2, 2])
    matches = [match(photo([LEFT], [2]), found, 2)]
    threshold, counts = best_f1(matches)
    assert at_threshold(matches, threshold) == counts


def test_bootstrap_interval_contains_the_mean_and_narrows_with_more_photos() -> None:
    def mean(values):
        return lambda sample: {"mean": float(np.mean([values[position] for position in sample]))}

    values = np.random.default_rng(0).normal(5, 1, 400)
    low, high = bootstrap(400, mean(values), resamples=300)["mean"]
    assert low < values.mean() < high
    assert high - low == pytest.approx(4 / np.sqrt(400), rel=0.2)
    few_low, few_high = bootstrap(25, mean(values), resamples=300)["mean"]
    assert few_high - few_low > 2 * (high - low)


def photo_of_group(group: str) -> AnnotatedPhoto:
    return AnnotatedPhoto(Path("x.jpg"), 9, 9, np.zeros((0, 4), np.float32), np.zeros(0, np.int32), group, 0)


def group_of_half(half: int) -> str:
    return next(name for name in map(str, range(99)) if hashlib.sha256(name.encode()).digest()[0] % 2 == half)


def matches(*detections: tuple[float, bool], labelled: int) -> Matches:
    scores, correct = zip(*detections, strict=True)
    return Matches(np.array(scores), np.array(correct), labelled)


def test_each_half_is_counted_at_the_threshold_of_the_other() -> None:
    """One half is perfect from 0.8 on, the other from 0.4 on; at each other's threshold neither is."""
    high = matches((0.8, True), (0.5, False), (0.4, False), labelled=1)
    low = matches((0.5, True), (0.4, True), labelled=2)
    photos = [photo_of_group(group_of_half(0)), photo_of_group(group_of_half(1))]
    threshold, counts = operating_point(photos, [high, low])
    # At 0.4 the first shows 3 boxes, 1 right; at 0.8 the second shows none.
    assert counts == Counts(true=1, shown=3, labelled=3, photos=2)
    assert threshold == pytest.approx(0.4)


def test_look_alikes_stay_in_one_half() -> None:
    """All photos in one group: the other half is empty, offers threshold 1, and nothing reaches it."""
    item = matches((0.9, True), labelled=1)
    _, counts = operating_point([photo_of_group("a")] * 3, [item] * 3)
    assert counts == Counts(true=0, shown=0, labelled=3, photos=3)
