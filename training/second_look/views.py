"""The detector's own second look: the same weights on mirrored and enlarged parts of the photo.

A part of the photo fills the detector's input, so its teeth are seen larger than in the whole photo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.detections import Detections, FloatArray
from app.runtimes import Runtime
from app.screening import SAME_TOOTH_IOU, box_iou
from training.annotations import CLASS_IDS

Floats = npt.NDArray[np.float64]

TILE = 0.65
"""Side of a part, as a share of the photo's."""

EDGE = 0.01
"""A box that ends this close to the edge of a part, as a share of the photo, may be a tooth that was cut."""

MIN_SCORE = 0.05
"""A part says nothing of a tooth that it gives no score as high as this."""

FLOOR = 0.02
"""Scores are held this far from 0 and 1 before their logits are averaged."""


@dataclass(frozen=True, slots=True)
class View:
    """A part of a photo, as fractions of its height and width, and whether it is mirrored."""

    ymin: float = 0.0
    xmin: float = 0.0
    ymax: float = 1.0
    xmax: float = 1.0
    mirrored: bool = False


def _tiles(mirrored: bool) -> tuple[View, ...]:
    starts = (0.0, 1 - TILE)
    return tuple(View(y, x, y + TILE, x + TILE, mirrored) for y in starts for x in starts)


def _halves(mirrored: bool) -> tuple[View, ...]:
    return tuple(View(0.0, x, 1.0, x + TILE, mirrored) for x in (0.0, 1 - TILE))


VIEWS: Mapping[str, tuple[View, ...]] = {
    "mirror": (View(mirrored=True),),
    "halves": _halves(False),
    "tiles": _tiles(False),
    "mirrored tiles": _tiles(True),
}
"""Views by name; each is one more inference."""


def detect_view(runtime: Runtime, pixels: npt.NDArray[np.uint8], view: View) -> Detections:
    """What the detector sees of a view, in the whole photo's coordinates, without boxes that the view may have cut.

    Args:
        runtime: the detector.
        pixels: the whole photo, `[height, width, 3]`.
        view: of it.
    """
    height, width, _ = pixels.shape
    top, left = int(view.ymin * height), int(view.xmin * width)
    bottom, right = max(top + 1, round(view.ymax * height)), max(left + 1, round(view.xmax * width))
    part = pixels[top:bottom, left:right]
    found = runtime.detect(np.ascontiguousarray(part[:, ::-1]) if view.mirrored else part)
    boxes = found.boxes.copy()
    if view.mirrored:
        boxes[:, [1, 3]] = 1 - boxes[:, [3, 1]]
    boxes = boxes * np.array([bottom - top, right - left] * 2) + np.array([top, left] * 2)
    boxes /= np.array([height, width] * 2)
    low, high = np.array([view.ymin, view.xmin]), np.array([view.ymax, view.xmax])
    is_whole = ((boxes[:, :2] > low + EDGE) | (low <= 0)).all(axis=1)
    is_whole &= ((boxes[:, 2:] < high - EDGE) | (high >= 1)).all(axis=1)
    return Detections.from_raw(boxes[is_whole], found.scores[is_whole], found.class_ids[is_whole])


def view_logits(boxes: FloatArray, scores: Floats, views: Sequence[Detections]) -> Floats:
    """What the views say of teeth: the mean over those that see the tooth of each class's logit, float64 `[n, 2]`.

    Args:
        boxes: of the teeth, `[n, 4]`.
        scores: float64 `[n, 2]`, of the whole photo; they stand in for teeth that no view sees.
        views: what was seen of each.
    """
    total, count = np.zeros((len(boxes), len(CLASS_IDS))), np.zeros((len(boxes), 1))
    for found in views:
        if not len(found):
            continue
        is_same = box_iou(boxes, found.boxes) >= SAME_TOOTH_IOU
        of_view = np.column_stack(
            [
                np.where(is_same & (found.class_ids == class_id), found.scores, 0.0).max(axis=1)
                for class_id in CLASS_IDS.values()
            ]
        )
        is_seen = of_view.max(axis=1, keepdims=True) > MIN_SCORE
        total += is_seen * _logits(of_view)
        count += is_seen
    logits: Floats = np.where(count > 0, total / np.maximum(count, 1), _logits(scores))
    return logits


def _logits(scores: Floats) -> Floats:
    held = np.clip(scores, FLOOR, 1 - FLOOR)
    logits: Floats = np.log(held / (1 - held))
    return logits
