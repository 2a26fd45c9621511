"""What is thought of the class of each labelled tooth, and how often it is right. Pure functions over arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from app.detector.boxes import SAME_TOOTH_IOU, box_iou
from app.detector.calibration import FLOOR, teeth
from app.detector.detections import Detections
from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.measure.assessment import Figures, with_intervals
from training.measure.curves import PhotoScores

Floats = npt.NDArray[np.float64]


def caries_among_teeth(probabilities: Floats) -> Floats:
    """Probability of caries given that it is a tooth, `[n]`, from that of each class, `[n, classes]`."""
    caries: Floats = probabilities[:, 1] / probabilities[:, :2].sum(axis=1)
    return caries


def detector_opinion(photo: AnnotatedPhoto, detections: Detections) -> Floats:
    """How a detector scores the labelled teeth of a photo: caries logit less normal logit; NaN for a tooth that no
    box overlaps by half. float64 `[labels]`."""
    boxes, scores = teeth(detections, tuple(CLASS_IDS.values()))
    opinion = np.full(len(photo.boxes), np.nan)
    if len(boxes) and len(photo.boxes):
        overlaps = box_iou(photo.boxes, boxes)
        best = overlaps.argmax(axis=1)
        is_found = overlaps[np.arange(len(best)), best] >= SAME_TOOTH_IOU
        held = np.clip(scores, FLOOR, 1 - FLOOR)
        logits = np.log(held / (1 - held))
        opinion[is_found] = (logits[:, 1] - logits[:, 0])[best[is_found]]
    return opinion


def class_figures(
    opinions: Sequence[Floats], labels: Sequence[npt.NDArray[np.bool_]], *, threshold: float, resamples: int = 1000
) -> dict[str, tuple[float | None, tuple[float, float] | None]]:
    """How well opinions tell the carious teeth, with intervals by bootstrap over photos; NaN takes no part.

    Args:
        opinions: photo by photo, the higher the more carious, float64 `[n]`.
        labels: photo by photo, whether the tooth is labelled carious, bool `[n]`.
        threshold: opinions above it say caries.
        resamples: of the bootstrap.
    """

    def figures(sample: Sequence[int]) -> Figures:
        said = np.concatenate([opinions[place] for place in sample])
        is_caries = np.concatenate([labels[place] for place in sample])
        known = ~np.isnan(said)
        said, is_caries = said[known], is_caries[known]
        right = (said > threshold) == is_caries
        return {
            "class right": float(right.mean()) if len(right) else None,
            "caries right": float(right[is_caries].mean()) if is_caries.any() else None,
            "normal right": float(right[~is_caries].mean()) if (~is_caries).any() else None,
            "AUC": PhotoScores(said, is_caries).auc,
        }

    return with_intervals(len(opinions), figures, resamples)
