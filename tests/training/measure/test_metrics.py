from pathlib import Path

import numpy as np
import pytest

from tests.app.detector.listed import listed
from training.data.annotations import AnnotatedPhoto
from training.measure.metrics import (
    Counts,
    at_threshold,
    best_f1,
    bootstrap_draws,
    half_of,
    interval,
    match,
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
    low, high = interval(bootstrap_draws(400, mean(values), resamples=300)["mean"])
    assert low < values.mean() < high
    assert high - low == pytest.approx(4 / np.sqrt(400), rel=0.2)
    few_low, few_high = interval(bootstrap_draws(25, mean(values), resamples=300)["mean"])
    assert few_high - few_low > 2 * (high - low)


def test_look_alikes_are_in_one_half() -> None:
    empty = np.zeros((0, 4), np.float32), np.zeros(0, np.int32)
    photos = [AnnotatedPhoto(Path(f"{n}.jpg"), 9, 9, *empty, str(n // 2), n % 5) for n in range(40)]
    halves = [half_of(photo) for photo in photos]
    assert halves[::2] == halves[1::2]
    assert 10 < sum(halves) < 30
