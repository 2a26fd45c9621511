"""Curves on detections whose figures can be worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from app.detector.detections import Detections
from training.data.annotations import AnnotatedPhoto
from training.measure.curves import PhotoScores, confusion, froc, photo_scores, precision_recall, reliability
from training.measure.metrics import Matches

NORMAL, CARIES = 1, 2


def matches(*detections: tuple[float, bool], labelled: int) -> Matches:
    ordered = sorted(detections, reverse=True)
    return Matches(np.array([score for score, _ in ordered]), np.array([right for _, right in ordered], bool), labelled)


TWO_PHOTOS = [
    matches((0.9, True), (0.6, False), (0.5, True), labelled=3),
    matches((0.8, False), (0.7, True), labelled=1),
]
"""In order of score: right, wrong, right, wrong, right; four labelled."""


def test_precision_and_sensitivity_after_each_detection() -> None:
    curve = precision_recall(TWO_PHOTOS)
    assert curve.precision == pytest.approx([1, 1 / 2, 2 / 3, 2 / 4, 3 / 5])
    assert curve.sensitivity == pytest.approx([0.25, 0.25, 0.5, 0.5, 0.75])


def test_froc_counts_false_positives_a_photo() -> None:
    curve = froc(TWO_PHOTOS)
    assert curve.false_positives_per_image == pytest.approx([0, 0.5, 0.5, 1.0, 1.0])
    assert [curve.at(rate) for rate in (0, 0.25, 0.5, 0.99, 1, 4)] == [0.25, 0.25, 0.5, 0.5, 0.75, 0.75]


def test_froc_of_nothing_is_zero() -> None:
    assert froc([matches(labelled=2)]).at(1) == 0
    assert froc([matches((0.5, False), labelled=0)]).at(1) == 0


def test_a_photo_scores_as_its_best_detection() -> None:
    scores = photo_scores([*TWO_PHOTOS, matches(labelled=0)])
    assert scores.scores.tolist() == [0.9, 0.8, 0.0]
    assert scores.has_class.tolist() == [True, True, False]


def test_auc_is_the_chance_of_the_right_order() -> None:
    scores = PhotoScores(np.array([0.9, 0.5, 0.3, 0.5, 0.1]), np.array([True, True, True, False, False]))
    # Pairs: 0.9 beats both, 0.5 ties and beats, 0.3 loses and beats: 2 + 1.5 + 1 of 6.
    assert scores.auc == pytest.approx(4.5 / 6)
    assert (scores.sensitivity(0.5), scores.specificity(0.5)) == (pytest.approx(2 / 3), 0.5)
    false_positive_rate, sensitivity = scores.roc()
    assert (false_positive_rate[0], sensitivity[0]) == (0, 0)
    assert (false_positive_rate[-1], sensitivity[-1]) == (1, 1)
    assert np.trapezoid(sensitivity, false_positive_rate) == pytest.approx(scores.auc)


def test_figures_of_photos_of_one_kind_are_unknown() -> None:
    sick = PhotoScores(np.array([0.9, 0.5]), np.array([True, True]))
    assert (sick.auc, sick.specificity(0.5), sick.sensitivity(0.6)) == (None, None, 0.5)


def test_scores_that_come_true_have_no_calibration_error() -> None:
    right = [matches(*((0.8, True),) * 8, *((0.8, False),) * 2, *((0.3, True),) * 3, *((0.3, False),) * 7, labelled=20)]
    result = reliability(right, bins=2)
    assert result.score == pytest.approx([0.3, 0.8])
    assert result.correct == pytest.approx([0.3, 0.8])
    assert result.error == pytest.approx(0)


def test_scores_that_promise_too_much_are_off_by_what_they_promise_too_much() -> None:
    wrong = [matches(*((0.9, True),) * 5, *((0.9, False),) * 5, labelled=9)]
    assert reliability(wrong).error == pytest.approx(0.4)


def test_the_many_boxes_of_no_score_do_not_hide_the_error() -> None:
    wrong = [matches(*((0.9, False),) * 5, *((0.001, False),) * 500, labelled=9)]
    assert reliability(wrong).error == pytest.approx(0.9)
    assert reliability([matches((0.01, False), labelled=1)]).error is None


def test_confusion_tells_class_place_and_misses_apart() -> None:
    teeth = np.array([[0, 0, 0.2, 0.2], [0, 0.5, 0.2, 0.7], [0.5, 0, 0.7, 0.2], [0.5, 0.5, 0.7, 0.7]], np.float32)
    labels = np.array([CARIES, NORMAL, CARIES, NORMAL], np.int32)
    photo = AnnotatedPhoto(Path("x"), 100, 100, teeth, labels, "g", 0)
    found = Detections.from_raw(
        np.array([teeth[0], teeth[1], teeth[1], teeth[2], [0.8, 0.8, 0.9, 0.9]], np.float32),
        np.array([0.9, 0.8, 0.7, 0.1, 0.6], np.float32),
        np.array([CARIES, CARIES, NORMAL, CARIES, NORMAL], np.float32),
    )
    # Rows: labelled normal, caries, nothing. Columns: detected normal, caries, nothing. The second opinion on a tooth
    # that was found does not lie where no tooth is.
    assert confusion(photo, found, 0.5).tolist() == [[0, 1, 1], [0, 1, 1], [1, 0, 0]]
    assert confusion(photo, Detections.empty(), 0.5).tolist() == [[0, 0, 2], [0, 0, 2], [0, 0, 0]]
