import numpy as np

from app.detector.boxes import box_iou, count_teeth
from tests.app.detector.listed import listed


def test_boxes_of_two_classes_on_one_tooth_count_once() -> None:
    detections = listed([[0, 0, 0.5, 0.5], [0.01, 0.01, 0.5, 0.5], [0.5, 0.5, 1, 1]], [0.9, 0.8, 0.7], [1, 2, 1])
    assert count_teeth(detections) == 2


def test_box_iou() -> None:
    a = np.array([[0, 0, 1, 1], [0, 0, 0, 0]], np.float32)
    b = np.array([[0, 0, 1, 0.5], [0, 0, 1, 1]], np.float32)
    assert box_iou(a, b).tolist() == [[0.5, 1.0], [0.0, 0.0]]
    assert box_iou(a[:0], b).shape == (0, 2)
