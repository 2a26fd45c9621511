import json

import numpy as np
import pytest

from app.detector.calibration import Calibration, teeth, tooth_features
from app.detector.detections import Detections
from tests.app.detector.listed import listed

FIRST, NEXT_TO_FIRST, SECOND = [0.1, 0.1, 0.3, 0.2], [0.1, 0.11, 0.3, 0.21], [0.1, 0.5, 0.3, 0.6]
OPINIONS = listed([FIRST, NEXT_TO_FIRST, SECOND, SECOND], [0.6, 0.4, 0.3, 0.01], [1, 2, 2, 1])


def test_overlapping_boxes_of_any_class_are_one_tooth() -> None:
    boxes, scores = teeth(OPINIONS, (1, 2))
    assert boxes == pytest.approx(np.array([FIRST, SECOND]))
    assert scores == pytest.approx(np.array([[0.6, 0.4], [0.0, 0.3]])), "what scores below 0.02 is noise"


def test_features_are_the_logits_of_each_class_and_of_the_highest() -> None:
    features = tooth_features(np.array([[0.75, 0.0]]))
    assert features == pytest.approx(np.array([[np.log(3), np.log(0.001 / 0.999), np.log(3)]]))


def test_every_tooth_gets_a_probability_for_every_class() -> None:
    # The probability of caries is the detector's score; that of normal is its complement.
    calibration = Calibration((1, 2), np.array([[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]]), np.zeros(2))
    found = calibration.apply(OPINIONS)
    of_class = {class_id: found.where(found.class_ids == class_id) for class_id in (1, 2)}
    assert of_class[2].scores == pytest.approx([0.4, 0.3])
    assert of_class[2].boxes == pytest.approx(np.array([FIRST, SECOND]))
    assert of_class[1].scores == pytest.approx([0.7, 0.6])


def test_no_detections() -> None:
    calibration = Calibration((1, 2), np.ones((2, 3)), np.zeros(2))
    assert len(calibration.apply(Detections.empty())) == 0
    assert len(calibration.apply(OPINIONS.where(OPINIONS.scores < 0.02))) == 0


def test_round_trip_through_the_manifest_is_exact() -> None:
    calibration = Calibration((1, 2), np.array([[0.1, 1 / 3, -2e-9], [1.0, 2.0, 3.0]]), np.array([0.1, -7.0]))
    read = Calibration.from_dict(json.loads(json.dumps(calibration.as_dict())))
    assert read.class_ids == calibration.class_ids
    assert (read.weights == calibration.weights).all()
    assert (read.biases == calibration.biases).all()


@pytest.mark.parametrize("weights", [[1.0], [1.0, 2.0, float("nan")]])
def test_weights_of_a_wrong_shape_are_refused(weights) -> None:
    with pytest.raises(ValueError, match="calibration weights"):
        Calibration.from_dict({"classes": [{"id": 1, "weights": weights, "bias": 0.0}] * 2})
