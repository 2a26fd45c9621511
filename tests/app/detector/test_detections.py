import numpy as np
import pytest

from app.detector.detections import Detections
from tests.app.detector.listed import listed


def test_sorts_by_score_and_keeps_rows_together() -> None:
    detections = listed([[0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4]], [0.2, 0.9], [1, 2])
    assert detections.scores.tolist() == pytest.approx([0.9, 0.2])
    assert detections.class_ids.tolist() == [2, 1]
    assert detections.boxes[0].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_is_immutable_and_does_not_share_memory() -> None:
    boxes = np.array([[0.0, 0.0, 1.0, 1.0]], np.float32)
    detections = Detections(boxes, np.array([0.5], np.float32), np.array([1], np.int32))
    boxes[0, 0] = 0.5
    assert detections.boxes[0, 0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        detections.scores[0] = 1.0


@pytest.mark.parametrize(
    ("boxes", "scores", "class_ids", "message"),
    [
        ([[0, 0, 1, 1]], [0.5, 0.6], [1], "do not match"),
        ([[0, 0, 1.1, 1]], [0.5], [1], "within 0 to 1"),
        ([[0.5, 0, 0.4, 1]], [0.5], [1], "minimum above"),
        ([[0, 0, 1, 1]], [1.5], [1], "scores"),
        ([[0, 0, 1, 1]], [float("nan")], [1], "finite"),
        ([[0, 0, 1, 1]], [0.5], [0], "start at 1"),
    ],
)
def test_rejects_invalid_values(boxes, scores, class_ids, message) -> None:
    with pytest.raises(ValueError, match=message):
        Detections(boxes, scores, class_ids)


def test_from_raw_clips_and_drops() -> None:
    detections = Detections.from_raw(
        [[-0.1, 0.5, 0.5, 1.2], [0.2, 0.2, 0.2, 0.4], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]],
        [0.9, 0.8, 0.05, 0.0],
        [1, 1, 2, 2],
        min_score=0.1,
    )
    assert len(detections) == 1
    assert detections.boxes[0].tolist() == pytest.approx([0.0, 0.5, 0.5, 1.0])


def test_empty_head_where_and_pixels() -> None:
    assert len(Detections.empty()) == 0
    detections = listed([[0.1, 0.2, 0.5, 0.6], [0, 0, 1, 1]], [0.9, 0.8], [1, 2])
    assert len(detections.head(1)) == 1
    assert detections.where(detections.class_ids == 2).scores.tolist() == pytest.approx([0.8])
    assert detections.in_pixels(width=100, height=200)[0].tolist() == pytest.approx([20, 20, 100, 60])
    assert [(score, class_id) for _, score, class_id in detections] == [
        (pytest.approx(0.9), 1),
        (pytest.approx(0.8), 2),
    ]
