"""Curves over the matches of one class, and the table of labelled against detected class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.detector.boxes import box_iou
from app.detector.detections import Detections
from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.measure.metrics import MATCH_IOU, Floats, Matches, pooled

FROC_RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""False positives per photo at which the FROC curve is read; the mean of these sensitivities summarises it (LUNA16,
Setio et al. 2017)."""

MIN_RELIABILITY_SCORE = 0.05
"""Detections of a lower score are left out of the calibration error: most of the hundred boxes of a photo are wrong and
score near 0, and would hide how the scores that people see are calibrated."""


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """Precision and sensitivity after each detection, highest score first; float64 `[n]` each."""

    precision: Floats
    sensitivity: Floats


def precision_recall(matches: Sequence[Matches]) -> PrecisionRecall:
    """The precision-recall curve of one class."""
    _, correct = pooled(matches)
    true = np.cumsum(correct)
    labelled = sum(item.labelled for item in matches)
    return PrecisionRecall(true / np.arange(1, len(correct) + 1), true / max(1, labelled))


@dataclass(frozen=True, slots=True)
class Froc:
    """Sensitivity against false positives per photo (free-response ROC, Bunch et al. 1978); float64 `[n]` each."""

    false_positives_per_image: Floats
    sensitivity: Floats

    def at(self, rate: float) -> float:
        """The sensitivity at no more than `rate` false positives per photo."""
        allowed = self.sensitivity[self.false_positives_per_image <= rate]
        return float(allowed[-1]) if len(allowed) else 0.0


def froc(matches: Sequence[Matches]) -> Froc:
    """The FROC curve of one class, lesion by lesion."""
    _, correct = pooled(matches)
    labelled = sum(item.labelled for item in matches)
    true, false = np.cumsum(correct), np.cumsum(~correct)
    return Froc(false / max(1, len(matches)), true / max(1, labelled))


@dataclass(frozen=True, slots=True)
class PhotoScores:
    """Highest score of the class on each photo, float64 `[n]`, and whether a tooth of it is labelled, bool `[n]`."""

    scores: Floats
    has_class: npt.NDArray[np.bool_]

    def take(self, sample: Sequence[int]) -> "PhotoScores":
        """The photos at these positions."""
        return PhotoScores(self.scores[list(sample)], self.has_class[list(sample)])

    @property
    def auc(self) -> float | None:
        """Area under the ROC curve: the probability that a photo with the class scores higher than one without, ties
        counted half (Hanley and McNeil 1982). None unless there are photos of both kinds."""
        positive, negative = self.scores[self.has_class], self.scores[~self.has_class]
        if not len(positive) or not len(negative):
            return None
        difference = positive[:, None] - negative[None, :]
        return float((difference > 0).mean() + 0.5 * (difference == 0).mean())

    def sensitivity(self, score_threshold: float | Floats) -> float | None:
        """Share of the photos with the class that reach the threshold (one, or `[n]`); None without such photos."""
        chosen = (self.scores >= score_threshold)[self.has_class]
        return float(chosen.mean()) if len(chosen) else None

    def specificity(self, score_threshold: float | Floats) -> float | None:
        """Share of the photos without the class that stay below the threshold; None without such photos."""
        chosen = (self.scores < score_threshold)[~self.has_class]
        return float(chosen.mean()) if len(chosen) else None

    def roc(self) -> tuple[Floats, Floats]:
        """False positive rate and sensitivity at every threshold, from (0, 0) to (1, 1)."""
        thresholds = np.concatenate([[np.inf], np.unique(self.scores)[::-1]])
        positive, negative = self.scores[self.has_class], self.scores[~self.has_class]
        return (
            np.array([(negative >= threshold).mean() if len(negative) else 0.0 for threshold in thresholds]),
            np.array([(positive >= threshold).mean() if len(positive) else 0.0 for threshold in thresholds]),
        )


def photo_scores(matches: Sequence[Matches]) -> PhotoScores:
    """The photos' scores of one class; a photo without detections scores 0."""
    return PhotoScores(
        np.array([item.scores[0] if len(item.scores) else 0.0 for item in matches], np.float64),
        np.array([item.labelled > 0 for item in matches], bool),
    )


@dataclass(frozen=True, slots=True)
class Reliability:
    """Detections in bins of equal number: mean score, share that was right, number of detections; `[bins]` each."""

    score: Floats
    correct: Floats
    count: npt.NDArray[np.int64]

    @property
    def error(self) -> float | None:
        """Expected calibration error (Guo et al. 2017; bins of equal mass as in Nixon et al. 2019); None if empty."""
        if not len(self.count):
            return None
        return float((np.abs(self.score - self.correct) * self.count).sum() / self.count.sum())


def reliability(matches: Sequence[Matches], *, bins: int = 10) -> Reliability:
    """How often detections of each score are right, from `MIN_RELIABILITY_SCORE` up."""
    scores, correct = pooled(matches)
    kept = scores >= MIN_RELIABILITY_SCORE
    scores, correct = scores[kept], correct[kept]
    if not len(scores):
        return Reliability(np.zeros(0), np.zeros(0), np.zeros(0, np.int64))
    edges = np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1])
    # Equal scores share a bin.
    bin_of = np.searchsorted(np.unique(edges), scores, side="right")
    filled = np.unique(bin_of)
    return Reliability(
        np.array([scores[bin_of == number].mean() for number in filled]),
        np.array([correct[bin_of == number].mean() for number in filled]),
        np.array([(bin_of == number).sum() for number in filled], np.int64),
    )


def confusion(photo: AnnotatedPhoto, detections: Detections, score_threshold: float) -> npt.NDArray[np.int64]:
    """Labelled against detected class on one photo, `[classes + 1, classes + 1]` in the order of `CLASS_IDS`; the last
    row counts detections where no tooth is labelled, the last column missed teeth. Teeth are matched by place alone,
    highest score first; a second box on a tooth that was already found is not counted."""
    ids = list(CLASS_IDS.values())
    counts = np.zeros((len(ids) + 1, len(ids) + 1), np.int64)
    shown = detections.where(detections.scores >= score_threshold)
    on_teeth = box_iou(shown.boxes, photo.boxes)
    overlaps = on_teeth.copy()
    found: set[int] = set()
    for row, (_, _, class_id) in enumerate(shown):
        label = int(overlaps[row].argmax()) if len(photo.boxes) else -1
        if label >= 0 and overlaps[row, label] >= MATCH_IOU:
            counts[ids.index(int(photo.class_ids[label])), ids.index(class_id)] += 1
            overlaps[:, label] = -1.0
            found.add(label)
        elif not (on_teeth[row, sorted(found)] >= MATCH_IOU).any():
            counts[-1, ids.index(class_id)] += 1
    for label, class_id in enumerate(photo.class_ids):
        if label not in found:
            counts[ids.index(int(class_id)), -1] += 1
    return counts
