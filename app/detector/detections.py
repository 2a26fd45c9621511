"""`Detections`: the boxes, scores and classes found on one photo."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Detections:
    """Boxes found on one photo, highest score first. Immutable: the arrays are read-only copies.

    Attributes:
        boxes: float32 `[n, 4]`, each `[ymin, xmin, ymax, xmax]` as fractions of the photo's height and width, within
            0 to 1, with `ymin <= ymax` and `xmin <= xmax`.
        scores: float32 `[n]`, within 0 to 1.
        class_ids: int32 `[n]`, ids of the label map, from 1.

    Raises:
        ValueError: a shape or a range is wrong.
    """

    boxes: FloatArray
    scores: FloatArray
    class_ids: IntArray

    def __post_init__(self) -> None:
        boxes = np.array(self.boxes, dtype=np.float32).reshape(-1, 4)
        scores = np.array(self.scores, dtype=np.float32).reshape(-1)
        class_ids = np.array(self.class_ids, dtype=np.int32).reshape(-1)
        if not len(boxes) == len(scores) == len(class_ids):
            raise ValueError(f"{len(boxes)} boxes, {len(scores)} scores and {len(class_ids)} class ids do not match")
        if problem := _problem(boxes, scores, class_ids):
            raise ValueError(problem)
        order = np.argsort(-scores, kind="stable")
        self._set(boxes[order], scores[order], class_ids[order])

    def _set(self, boxes: FloatArray, scores: FloatArray, class_ids: IntArray) -> None:
        for name, array in (("boxes", boxes), ("scores", scores), ("class_ids", class_ids)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @classmethod
    def from_checked(cls, boxes: FloatArray, scores: FloatArray, class_ids: IntArray) -> Self:
        """Detections of arrays that are valid, sorted by score and not written to elsewhere; skips the checks."""
        made = object.__new__(cls)
        made._set(boxes, scores, class_ids)
        return made

    @classmethod
    def empty(cls) -> Self:
        """No boxes."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))

    @classmethod
    def from_raw(
        cls, boxes: npt.ArrayLike, scores: npt.ArrayLike, class_ids: npt.ArrayLike, *, min_score: float = 0.0
    ) -> Self:
        """Detections from a model's outputs: boxes are clipped to the photo, empty ones and low scores dropped.

        Args:
            boxes: `[n, 4]`, fractions; may reach beyond the photo.
            scores: `[n]`.
            class_ids: `[n]`, from 1.
            min_score: lowest score to keep.
        """
        clipped = np.clip(np.asarray(boxes, np.float32).reshape(-1, 4), 0.0, 1.0)
        score_array = np.clip(np.asarray(scores, np.float32).reshape(-1), 0.0, 1.0)
        keep = (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
        keep &= (score_array > 0) & (score_array >= min_score)
        return cls(clipped[keep], score_array[keep], np.asarray(class_ids).reshape(-1)[keep].astype(np.int32))

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[tuple[FloatArray, float, int]]:
        """One `(box [4], score, class_id)` for each detection."""
        for box, score, class_id in zip(self.boxes, self.scores, self.class_ids, strict=True):
            yield box, float(score), int(class_id)

    def where(self, keep: npt.NDArray[np.bool_]) -> Self:
        """The detections for which `keep` (bool `[n]`) is true."""
        return self.from_checked(self.boxes[keep], self.scores[keep], self.class_ids[keep])

    def joined(self, other: Self) -> Self:
        """These detections and the others."""
        scores = np.concatenate([self.scores, other.scores])
        order = np.argsort(-scores, kind="stable")
        return self.from_checked(
            np.concatenate([self.boxes, other.boxes])[order],
            scores[order],
            np.concatenate([self.class_ids, other.class_ids])[order],
        )

    def head(self, count: int) -> Self:
        """The `count` detections of highest score."""
        return self.from_checked(self.boxes[:count], self.scores[:count], self.class_ids[:count])

    def in_pixels(self, width: int, height: int) -> FloatArray:
        """Boxes as float32 `[n, 4]` in pixels of a photo of this size, `[ymin, xmin, ymax, xmax]`."""
        return self.boxes * np.array([height, width, height, width], np.float32)


def _problem(boxes: FloatArray, scores: FloatArray, class_ids: IntArray) -> str | None:
    """What is out of range, if anything."""
    if not len(boxes):
        return None
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        return "boxes and scores must be finite numbers"
    if boxes.min() < 0 or boxes.max() > 1:
        return "box coordinates must lie within 0 to 1"
    if (boxes[:, :2] > boxes[:, 2:]).any():
        return "a box has its minimum above its maximum"
    if scores.min() < 0 or scores.max() > 1:
        return "scores must lie within 0 to 1"
    return "class ids start at 1" if class_ids.min() < 1 else None
