from pathlib import Path

import numpy as np

from app.detector.detections import Detections
from training.data.annotations import AnnotatedPhoto


def synthetic(seed: int, photos: int = 12, *, caries: float = 0.4) -> tuple[list[AnnotatedPhoto], list[Detections]]:
    """Labelled photos, and detections that are the labels moved a little, some of another class, with false ones."""
    random = np.random.default_rng(seed)
    labelled, found = [], []
    for number in range(photos):
        corners = random.uniform(0, 0.8, (8, 2))
        boxes = np.concatenate([corners, corners + random.uniform(0.05, 0.2, (8, 2))], 1).astype(np.float32)
        share = caries if number % 2 or caries == 1 else 0.0
        class_ids = np.where(random.uniform(size=8) < share, 2, 1).astype(np.int32)
        labelled.append(AnnotatedPhoto(Path(f"{number}.jpg"), 640, 480, boxes, class_ids, str(number), 0))
        moved = np.clip(boxes + random.normal(0, 0.008, boxes.shape), 0, 1).astype(np.float32)
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 0.01)
        wrong = random.uniform(size=8) < 0.2
        classes = np.where(wrong, 3 - class_ids, class_ids).astype(np.float32)
        found.append(Detections.from_raw(moved, random.uniform(0.05, 1, 8).astype(np.float32), classes))
    return labelled, found
