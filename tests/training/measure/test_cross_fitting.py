from dataclasses import replace

import numpy as np
import pytest

from app.detector.detections import Detections
from training.measure.calibration import cross_fitted
from training.measure.cross_fitting import cross_fit
from training.measure.metrics import half_of
from training.measure.out_of_fold import read_out_of_fold


@pytest.fixture(scope="module")
def one_fold(cross_validation):
    """The photos and made-up predictions of the cross-validation as if of one fold."""
    found = read_out_of_fold(cross_validation)
    photos = [replace(photo, fold=0) for photo in found.photos]
    assert len({half_of(photo) for photo in photos}) == 2
    return photos, found.predictions


def test_one_fold_gives_calibration_and_points(one_fold) -> None:
    photos, seen = one_fold
    fitted = cross_fit(photos, seen)
    assert fitted.calibration is not None
    assert not fitted.not_calibrated
    assert list(fitted.points.points) == ["sensitive", "balanced"], "too few photos without caries for specific"
    for found, expected in zip(fitted.scored, cross_fitted(photos, seen), strict=True):
        np.testing.assert_array_equal(found.scores, expected.scores)
    figures = fitted.assess(resamples=5).figures
    error = figures["calibration error"].value
    assert error is not None
    assert error < 0.2
    assert figures["F1"].value == pytest.approx(fitted.points.default.mean["f1"])
    assert figures["not assessable"].value == pytest.approx(fitted.points.default.mean["not_assessable"])


def test_another_model_takes_calibration_and_points_of_the_first(one_fold) -> None:
    photos, seen = one_fold
    fitted = cross_fit(photos, seen)
    lower = [Detections(found.boxes, found.scores - 0.2, found.class_ids) for found in seen]
    other = fitted.of_model(lower)
    assert other.points is fitted.points
    for found, expected in zip(other.scored, cross_fitted(photos, lower, fitted_on=seen), strict=True):
        np.testing.assert_array_equal(found.scores, expected.scores)


def test_photos_that_cannot_calibrate_still_give_points(one_fold) -> None:
    photos, _ = one_fold
    fitted = cross_fit(photos, [Detections.empty()] * len(photos))
    assert fitted.calibration is None
    assert fitted.not_calibrated.startswith("of 0 teeth detected")
    assert fitted.points.default.score_threshold == 1
    assert fitted.of_model(fitted.seen).scored == fitted.seen
