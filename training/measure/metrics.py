"""Matches between detections and labels, counts at a score threshold, and bootstrap intervals.

Intervals are percentile bootstrap intervals over photos (Efron 1979): photos are drawn with replacement, so that the
boxes of one photo stay together.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.detector.boxes import box_iou
from app.detector.detections import Detections
from training.data.annotations import CLASS_IDS, AnnotatedPhoto

SCREENED_CLASS = "caries"

MATCH_IOU = 0.5
"""Lowest overlap at which a detection matches a labelled tooth."""

RESAMPLES = 1000
INTERVAL = (2.5, 97.5)
"""Percentiles of the bootstrap distribution: a 95 % interval."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Matches:
    """The detections of one class on one photo, highest score first, whether each is the first to find a labelled
    tooth of the class, `[n]` both, and the number of labelled teeth of the class."""

    scores: Floats
    correct: npt.NDArray[np.bool_]
    labelled: int


def match(photo: AnnotatedPhoto, detections: Detections, class_id: int, min_iou: float = MATCH_IOU) -> Matches:
    """Greedy matching by score: each label at most once, each detection to its best free label (as COCO does)."""
    chosen = detections.where(detections.class_ids == class_id)
    labels = photo.boxes[photo.class_ids == class_id]
    iou = box_iou(chosen.boxes, labels)
    correct = np.zeros(len(chosen), bool)
    for row in range(len(chosen)):
        if not len(labels):
            break
        best = int(iou[row].argmax())
        if iou[row, best] >= min_iou:
            correct[row] = True
            iou[:, best] = -1.0
    return Matches(chosen.scores.astype(np.float64), correct, len(labels))


def match_class(
    photos: Sequence[AnnotatedPhoto], predictions: Sequence[Detections], name: str = SCREENED_CLASS
) -> list[Matches]:
    """The matches of one class, photo by photo."""
    return [match(photo, found, CLASS_IDS[name]) for photo, found in zip(photos, predictions, strict=True)]


@dataclass(frozen=True, slots=True)
class Counts:
    """Detections at a score threshold, summed over photos. A rate with an empty denominator is 0."""

    true: int
    shown: int
    labelled: int
    photos: int

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.true + other.true, self.shown + other.shown, self.labelled + other.labelled, self.photos + other.photos
        )

    @property
    def sensitivity(self) -> float:
        """Share of the labelled teeth that were found."""
        return self.true / self.labelled if self.labelled else 0.0

    @property
    def precision(self) -> float:
        """Share of the detections that were right."""
        return self.true / self.shown if self.shown else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of sensitivity and precision."""
        return 2 * self.true / (self.shown + self.labelled) if self.shown + self.labelled else 0.0

    @property
    def false_positives_per_image(self) -> float:
        """Wrong detections per photo."""
        return (self.shown - self.true) / self.photos if self.photos else 0.0


def at_threshold(matches: Sequence[Matches], score_threshold: float) -> Counts:
    """Counts of the detections that reach the threshold."""
    return Counts(
        true=sum(int(item.correct[item.scores >= score_threshold].sum()) for item in matches),
        shown=sum(int((item.scores >= score_threshold).sum()) for item in matches),
        labelled=sum(item.labelled for item in matches),
        photos=len(matches),
    )


def pooled(matches: Sequence[Matches]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Scores of all photos, highest first, and whether each detection was right."""
    scores = np.concatenate([np.zeros(0), *(item.scores for item in matches)])
    correct = np.concatenate([np.zeros(0, bool), *(item.correct for item in matches)])
    order = np.argsort(-scores, kind="stable")
    return scores[order], correct[order]


def best_f1(matches: Sequence[Matches]) -> tuple[float, Counts]:
    """The score threshold of the highest F1 and the counts there; threshold 1 if nothing was detected."""
    labelled = sum(item.labelled for item in matches)
    scores, correct = pooled(matches)
    if not len(scores):
        return 1.0, Counts(0, 0, labelled, len(matches))
    true, shown = np.cumsum(correct), np.arange(1, len(scores) + 1)
    # A threshold admits every detection of its score, so only the last one of equal scores is a candidate.
    last = np.append(scores[1:] != scores[:-1], True)
    best = int(np.argmax(np.where(last, 2 * true / (shown + labelled), -1.0)))
    return float(scores[best]), Counts(int(true[best]), int(shown[best]), labelled, len(matches))


def part_of(photo: AnnotatedPhoto, parts: int) -> int:
    """The number of a part for cross-fitting, the same for all photos of a group."""
    return hashlib.sha256(photo.group.encode()).digest()[0] % parts


def half_of(photo: AnnotatedPhoto) -> int:
    """0 or 1, see `part_of`."""
    return part_of(photo, 2)


def bootstrap_draws(
    photos: int, figure: Callable[[Sequence[int]], dict[str, float]], *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Floats]:
    """Each figure over the resamples, float64 `[resamples]`. `figure` takes positions of photos, with repetitions, and
    returns NaN for a figure that these photos cannot give. Equal seeds draw equal resamples, which pairs detectors."""
    random = np.random.default_rng(seed)
    draws = [figure(random.integers(0, photos, photos).tolist()) for _ in range(resamples)]
    return {name: np.array([draw[name] for draw in draws]) for name in draws[0]}


def interval(draws: Floats) -> tuple[float, float]:
    """The 95 % interval over the resamples that give the figure; (NaN, NaN) if none does."""
    known = draws[~np.isnan(draws)]
    low, high = np.percentile(known, INTERVAL) if len(known) else (np.nan, np.nan)
    return float(low), float(high)
