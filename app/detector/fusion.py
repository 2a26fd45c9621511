"""Weighted boxes fusion: one detector's results at several input sizes become one result, tooth by tooth.

Overlapping boxes of all sizes count as one tooth. A class's score on it is the mean over the sizes of the highest score
there, 0 for a size without a box; the tooth's box is the mean of each size's best box, weighted by score (Solovyev et
al. 2021, "Weighted boxes fusion: Ensembling boxes from different object detection models").
"""

from collections.abc import Sequence

import numpy as np

from app.detector.boxes import tooth_numbers
from app.detector.detections import Detections


def fuse(by_size: Sequence[Detections]) -> Detections:
    """One box per tooth and class.

    Args:
        by_size: detections at each size, in the photo's coordinates; at least one. A single one is returned unchanged.
    """
    if len(by_size) == 1:
        return by_size[0]
    all_scores = np.concatenate([found.scores for found in by_size])
    order = np.argsort(-all_scores, kind="stable")
    merged = Detections.from_checked(
        np.concatenate([found.boxes for found in by_size])[order],
        all_scores[order],
        np.concatenate([found.class_ids for found in by_size])[order],
    )
    size_numbers = np.repeat(np.arange(len(by_size)), [len(found) for found in by_size])[order]
    numbers = tooth_numbers(merged)
    count = int(numbers.max(initial=-1)) + 1
    class_ids, columns = np.unique(merged.class_ids, return_inverse=True)
    scores = np.zeros((len(by_size), count, len(class_ids)))
    np.maximum.at(scores, (size_numbers, numbers, columns), merged.scores)
    # Detections are sorted by score, so a size's first box on a tooth is its best.
    _, best = np.unique(numbers * len(by_size) + size_numbers, return_index=True)
    weights, weighted = np.zeros((count, 1)), np.zeros((count, 4))
    np.add.at(weights, numbers[best], merged.scores[best, np.newaxis])
    np.add.at(weighted, numbers[best], merged.boxes[best] * merged.scores[best, np.newaxis])
    return Detections.from_raw(
        np.repeat(weighted / weights, len(class_ids), axis=0),
        scores.mean(axis=0).reshape(-1),
        np.tile(class_ids, count),
    )
