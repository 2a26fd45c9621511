"""What a detector saw on photos, kept in one file, so that it can be measured again without running it again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from app.detector.detections import Detections


def save_predictions(predictions: Mapping[str, Detections], path: Path) -> None:
    """Writes an `.npz` file, whole or not at all.

    Args:
        predictions: file name of the photo to everything that was seen on it.
        path: of the file.
    """
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez_compressed(
            file,
            photos=np.array(list(predictions)),
            counts=np.array([len(found) for found in predictions.values()], np.int64),
            boxes=np.concatenate([np.zeros((0, 4), np.float32), *(found.boxes for found in predictions.values())]),
            scores=np.concatenate([np.zeros(0, np.float32), *(found.scores for found in predictions.values())]),
            class_ids=np.concatenate([np.zeros(0, np.int32), *(found.class_ids for found in predictions.values())]),
        )
    partial.replace(path)


def load_predictions(path: Path) -> dict[str, Detections]:
    """What `save_predictions` wrote."""
    with np.load(path) as file:
        ends = np.cumsum(file["counts"])
        boxes, scores, class_ids = file["boxes"], file["scores"], file["class_ids"]
        return {
            str(name): Detections(boxes[start:end], scores[start:end], class_ids[start:end])
            for name, start, end in zip(file["photos"], ends - file["counts"], ends, strict=True)
        }
