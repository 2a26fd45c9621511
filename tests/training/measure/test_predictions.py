import numpy as np

from app.detector.detections import Detections
from tests.app.detector.listed import listed
from training.measure.predictions import load_predictions, save_predictions


def test_predictions_come_back_as_they_were(tmp_path) -> None:
    found = listed(np.array([[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]], np.float32), np.array([0.9, 0.4]), [2, 1])
    kept = {"Zahn 1.jpg": found, "nothing.jpg": Detections.empty(), "치아.jpg": found.head(1)}
    save_predictions(kept, tmp_path / "predictions.npz")
    again = load_predictions(tmp_path / "predictions.npz")
    assert list(again) == list(kept)
    for name, expected in kept.items():
        for part in ("boxes", "scores", "class_ids"):
            np.testing.assert_array_equal(getattr(again[name], part), getattr(expected, part))
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.npz"]
