"""The detector's postprocessing in NumPy, for runtimes that do not have LiteRT's `TFLite_Detection_PostProcess`.

It is that operation with regular non-maximum suppression, as TensorFlow's `detection_postprocess.cc` defines it: boxes
from anchors, greedy suppression of each class by itself, the best of all classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from app.detector.detections import Detections

POSTPROCESSING = "postprocessing.npz"
"""File of it, beside files of models without it."""

BLOCK = 96
"""Boxes that are compared at once."""

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Postprocessing:
    """What the operation holds.

    Attributes:
        anchors: float32 `[anchors, 4]`, each `[ycenter, xcenter, height, width]` as fractions of the input.
        scales: float32 `[4]`, by which the network multiplies `[ycenter, xcenter, height, width]` of its encoding.
        score_threshold: lowest score that takes part in the suppression.
        iou_threshold: a box that overlaps a better one of its class by more is suppressed.
        max_detections: boxes kept of each class, and of all together.
    """

    anchors: FloatArray
    scales: FloatArray
    score_threshold: float
    iou_threshold: float
    max_detections: int

    @classmethod
    def of_options(cls, anchors: FloatArray, options: dict[str, Any]) -> Self:
        """From the operation's options, as `benchmarks.runtimes.tflite_files` reads them."""
        scales = np.array([options[f"{axis}_scale"] for axis in "yxhw"], np.float32)
        return cls(
            anchors,
            scales,
            float(options["nms_score_threshold"]),
            float(options["nms_iou_threshold"]),
            int(options["max_detections"]),
        )

    def save(self, path: Path) -> None:
        """Writes an `.npz` file that `load` reads."""
        np.savez(path, **{name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def load(cls, path: Path) -> Self:
        """From the file that `save` wrote."""
        with np.load(path) as file:
            return cls(
                file["anchors"],
                file["scales"],
                float(file["score_threshold"]),
                float(file["iou_threshold"]),
                int(file["max_detections"]),
            )

    def __call__(self, encodings: FloatArray, scores: FloatArray) -> Detections:
        """The heads' outputs to detections.

        Args:
            encodings: float32 `[anchors, 4]`, boxes relative to the anchors.
            scores: float32 `[anchors, 1 + classes]`, of the background and of each class, within 0 to 1.
        """
        boxes, best, class_ids = [], [], []
        for class_id in range(1, scores.shape[1]):
            column = scores[:, class_id]
            candidates = np.flatnonzero(column >= self.score_threshold)
            candidates = candidates[np.argsort(-column[candidates], kind="stable")]
            decoded = decode_boxes(encodings[candidates], self.anchors[candidates], self.scales)
            kept = suppress(decoded, self.iou_threshold, self.max_detections)
            boxes.append(decoded[kept])
            best.append(column[candidates[kept]])
            class_ids.append(np.full(len(kept), class_id, np.int32))
        all_scores = np.concatenate(best)
        order = np.argsort(-all_scores, kind="stable")[: self.max_detections]
        return Detections.from_raw(np.concatenate(boxes)[order], all_scores[order], np.concatenate(class_ids)[order])

    def best(self, boxes: FloatArray, scores: FloatArray, selected: npt.NDArray[np.int64]) -> Detections:
        """Detections from a runtime's own non-maximum suppression.

        Args:
            boxes: float32 `[anchors, 4]`, decoded.
            scores: float32 `[classes, anchors]`, without the background.
            selected: `[n, 3]`, each `[0, class from 0, anchor]`.
        """
        classes, anchors = selected[:, 1], selected[:, 2]
        chosen = scores[classes, anchors]
        order = np.argsort(-chosen, kind="stable")[: self.max_detections]
        return Detections.from_raw(boxes[anchors[order]], chosen[order], classes[order] + 1)


def decode_boxes(encodings: FloatArray, anchors: FloatArray, scales: FloatArray) -> FloatArray:
    """Boxes `[n, 4]`, `[ymin, xmin, ymax, xmax]`, from encodings and anchors `[n, 4]` (Ren 2015, equation 2)."""
    scaled = encodings / scales
    centers = scaled[:, :2] * anchors[:, 2:] + anchors[:, :2]
    half = np.float32(0.5) * np.exp(scaled[:, 2:]) * anchors[:, 2:]
    return np.concatenate([centers - half, centers + half], axis=1)


def suppress(boxes: FloatArray, iou_threshold: float, max_kept: int) -> npt.NDArray[np.intp]:
    """Greedy non-maximum suppression.

    Args:
        boxes: float32 `[n, 4]`, `[ymin, xmin, ymax, xmax]`, best first.
        iou_threshold: see `Postprocessing`.
        max_kept: how many boxes at most.

    Returns:
        Positions of the kept boxes, best first.
    """
    kept: list[int] = []
    for start in range(0, len(boxes), BLOCK):
        block = boxes[start : start + BLOCK]
        # Most boxes overlap one that is kept already: those never meet each other.
        free = np.flatnonzero(~overlapping(block, boxes[kept], iou_threshold).any(axis=1))
        within = overlapping(block[free], block[free], iou_threshold)
        alive = np.ones(len(free), bool)
        for position in range(len(free)):
            if alive[position]:
                kept.append(start + int(free[position]))
                if len(kept) == max_kept:
                    return np.array(kept, np.intp)
                alive &= ~within[position]
    return np.array(kept, np.intp)


def overlapping(boxes: FloatArray, others: FloatArray, iou_threshold: float) -> npt.NDArray[np.bool_]:
    """Bool `[boxes, others]`: whether the overlap is more than the threshold."""
    ymin, xmin, ymax, xmax = boxes.T[:, :, np.newaxis]
    other_ymin, other_xmin, other_ymax, other_xmax = np.ascontiguousarray(others.T)
    heights = np.minimum(ymax, other_ymax) - np.maximum(ymin, other_ymin)
    widths = np.minimum(xmax, other_xmax) - np.maximum(xmin, other_xmin)
    shared = np.maximum(heights, 0, out=heights)
    shared *= np.maximum(widths, 0, out=widths)
    areas = (ymax - ymin) * (xmax - xmin)
    other_areas = (other_ymax - other_ymin) * (other_xmax - other_xmin)
    # In place of a division: shared / united > threshold.
    united = areas + other_areas
    united -= shared
    united *= np.float32(iou_threshold)
    more: npt.NDArray[np.bool_] = shared > united
    return more
