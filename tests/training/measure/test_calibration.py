from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.detector.detections import Detections
from tests.app.detector.listed import listed
from training.data.annotations import AnnotatedPhoto
from training.measure.calibration import PARTS, CalibrationError, cross_fitted, fit
from training.measure.curves import reliability
from training.measure.metrics import match, part_of


def sample(photos: int = 60, *, seed: int = 5) -> tuple[list[AnnotatedPhoto], list[Detections]]:
    """Photos of ten teeth, and a detector that is far too sure: it says 0.95 where it is right in 70 %."""
    random = np.random.default_rng(seed)
    boxes = np.array([[0.2, 0.1 * n, 0.5, 0.1 * n + 0.08] for n in range(10)], np.float32)
    labelled, detected = [], []
    for number in range(photos):
        truth = random.integers(1, 3, 10)
        guess = np.where(random.random(10) < 0.7, truth, 3 - truth)
        sure = random.uniform(0.93, 0.97, 10)
        labelled.append(AnnotatedPhoto(Path(str(number)), 100, 100, boxes, truth.astype(np.int32), "g", number % 5))
        detected.append(listed(np.concatenate([boxes, boxes]), [*sure, *(1 - sure)], [*guess, *(3 - guess)]))
    return labelled, detected


def error_of_caries(photos, predictions) -> float:
    found = reliability([match(photo, item, 2) for photo, item in zip(photos, predictions, strict=True)])
    assert found.error is not None
    return found.error


def test_scores_become_the_share_that_is_right() -> None:
    photos, predictions = sample()
    assert error_of_caries(photos, predictions) > 0.2
    calibrated = cross_fitted(photos, predictions)
    assert error_of_caries(photos, calibrated) < 0.05
    assert all(len(found) == 20 for found in calibrated)
    best = np.concatenate([found.scores[:10] for found in calibrated])
    assert 0.65 < best.mean() < 0.75


def test_a_fold_is_calibrated_by_the_others_alone() -> None:
    photos, predictions = sample()
    altered = [
        Detections(found.boxes, 1 - found.scores, found.class_ids) if photo.fold == 2 else found
        for photo, found in zip(photos, predictions, strict=True)
    ]
    # What the detector said of fold 2 has no say in how fold 2 is calibrated, and has one in the other folds.
    ours = fit([p for p in photos if p.fold != 2], [d for p, d in zip(photos, altered, strict=True) if p.fold != 2])
    calibrated = cross_fitted(photos, altered)
    assert calibrated[2].scores == pytest.approx(ours.apply(altered[2]).scores)
    assert calibrated[0].scores.max() < cross_fitted(photos, predictions)[0].scores.max()


def test_another_precision_is_calibrated_as_the_first_one() -> None:
    photos, predictions = sample()
    other = [Detections(found.boxes, found.scores * 0.9, found.class_ids) for found in predictions]
    expected = fit(
        [photo for photo in photos if photo.fold != 0],
        [found for photo, found in zip(photos, predictions, strict=True) if photo.fold != 0],
    )
    assert cross_fitted(photos, other, fitted_on=predictions)[0].scores == pytest.approx(
        expected.apply(other[0]).scores
    )


def test_photos_of_one_fold_are_calibrated_by_parts() -> None:
    photos, predictions = sample()
    photos = [replace(photo, fold=0, group=str(number)) for number, photo in enumerate(photos)]
    first = part_of(photos[0], PARTS)
    others = [place for place, photo in enumerate(photos) if part_of(photo, PARTS) != first]
    expected = fit([photos[place] for place in others], [predictions[place] for place in others])
    found = cross_fitted(photos, predictions)
    assert found[0].scores == pytest.approx(expected.apply(predictions[0]).scores)
    assert error_of_caries(photos, found) < 0.1 < error_of_caries(photos, predictions)


def test_sources_have_equal_weight_regardless_of_their_photos() -> None:
    """One source is right in 70 % of its teeth, the other in 30 %: the probability is halfway."""
    photos, predictions = sample(60)
    few_photos, few = sample(6, seed=6)
    few_photos = [replace(photo, source="few", class_ids=3 - photo.class_ids) for photo in few_photos]
    pooled = fit([*photos, *few_photos], [*predictions, *few])
    sure = [found.scores[:10] for found in (pooled.apply(one) for one in predictions)]
    assert np.mean(sure) == pytest.approx(0.5, abs=0.05)


def test_a_source_of_carious_teeth_only_has_no_say_in_what_is_normal() -> None:
    photos, predictions = sample(60)
    caries_only = [
        replace(photo, source="ill", boxes=photo.boxes[carious], class_ids=photo.class_ids[carious])
        for photo in photos
        for carious in [photo.class_ids == 2]
    ]
    alone, pooled = fit(photos, predictions), fit([*photos, *caries_only], [*predictions, *predictions])
    np.testing.assert_allclose(pooled.weights[0], alone.weights[0], atol=1e-3)
    np.testing.assert_allclose(pooled.weights[1], alone.weights[1], atol=1e-3)


def test_what_cannot_be_calibrated_is_said() -> None:
    photos, predictions = sample(5)
    with pytest.raises(CalibrationError, match="of 0 teeth detected, 0 are normal"):
        fit(photos, [Detections.empty()] * 5)
    with pytest.raises(CalibrationError, match="one group only"):
        cross_fitted(photos[:1], predictions[:1])
