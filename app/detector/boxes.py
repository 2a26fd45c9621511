"""Geometry of boxes: how much they overlap, and which of them show the same tooth."""

import numpy as np
import numpy.typing as npt

from app.detector.detections import Detections, FloatArray

SAME_TOOTH_IOU = 0.5
"""Boxes of any class that overlap at least this much show the same tooth."""


def box_iou(first: FloatArray, second: FloatArray) -> FloatArray:
    """Intersection over union of every pair: `[n, 4]` and `[m, 4]` to `[n, m]`; 0 where both boxes are empty."""
    # Side by side rather than as an axis of two, along which NumPy's product takes several times as long.
    sides = [
        np.minimum(first[:, None, axis + 2], second[:, axis + 2]) - np.maximum(first[:, None, axis], second[:, axis])
        for axis in (0, 1)
    ]
    intersection = np.clip(sides[0], 0, None) * np.clip(sides[1], 0, None)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - intersection
    iou: FloatArray = np.where(union > 0, intersection / np.where(union > 0, union, 1), 0).astype(np.float32)
    return iou


def tooth_numbers(detections: Detections) -> npt.NDArray[np.intp]:
    """The tooth that each box shows, numbered from 0 by highest score; intp `[n]`.

    Boxes of any class that overlap the best box of a tooth by `SAME_TOOTH_IOU` show that tooth.
    """
    numbers = np.empty(len(detections), np.intp)
    overlaps = box_iou(detections.boxes, detections.boxes) >= SAME_TOOTH_IOU
    left = np.ones(len(detections), np.bool_)
    tooth = 0
    while left.any():
        best = left.argmax()
        shown = overlaps[best] & left
        shown[best] = True  # an empty box overlaps nothing, not even itself
        numbers[shown] = tooth
        left &= ~shown
        tooth += 1
    return numbers


def count_teeth(detections: Detections) -> int:
    """How many teeth the boxes show, see `tooth_numbers`."""
    return int(tooth_numbers(detections).max(initial=-1)) + 1
