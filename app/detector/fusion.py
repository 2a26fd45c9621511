"""Several looks of a detector at one photo as one: weighted boxes fusion, tooth by tooth.

Boxes of all looks that overlap are one tooth. For each class its score is the mean over the looks of the highest that
each gives the tooth, 0 where it gives none; its box is the mean of each look's best, weighted by their scores (Solovyev
et al. 2021, "Weighted boxes fusion: Ensembling boxes from different object detection models").
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.detector.detections import Detections
from app.screening import tooth_numbers


def fuse(looks: Sequence[Detections]) -> Detections:
    """What the looks say together: for each tooth a box of each class that some look names it.

    Args:
        looks: at the same photo, in its coordinates; one at least. A single one is returned as it is.
    """
    if len(looks) == 1:
        return looks[0]
    boxes, all_scores, ids = (
        np.concatenate([getattr(look, name) for look in looks]) for name in ("boxes", "scores", "class_ids")
    )
    order = np.argsort(-all_scores, kind="stable")
    found = Detections.of_valid(boxes[order], all_scores[order], ids[order])
    look_numbers = np.repeat(np.arange(len(looks)), [len(look) for look in looks])[order]
    numbers = tooth_numbers(found)
    count = int(numbers.max(initial=-1)) + 1
    class_ids, columns = np.unique(found.class_ids, return_inverse=True)
    scores = np.zeros((len(looks), count, len(class_ids)))
    np.maximum.at(scores, (look_numbers, numbers, columns), found.scores)
    # Detections come by score, so the first of a look on a tooth is its best.
    _, best = np.unique(numbers * len(looks) + look_numbers, return_index=True)
    weights, weighted = np.zeros((count, 1)), np.zeros((count, 4))
    np.add.at(weights, numbers[best], found.scores[best, np.newaxis])
    np.add.at(weighted, numbers[best], found.boxes[best] * found.scores[best, np.newaxis])
    return Detections.from_raw(
        np.repeat(weighted / weights, len(class_ids), axis=0),
        scores.mean(axis=0).reshape(-1),
        np.tile(class_ids, count),
    )
