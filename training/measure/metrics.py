"""Figures of merit of a detector over annotated photos. Pure functions over boxes: no model, no TensorFlow.

COCO figures come from pycocotools. Intervals are percentile bootstrap intervals over photos (Efron 1979): photos are
drawn with replacement, so that boxes of one photo stay together.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.detector.boxes import box_iou
from app.detector.detections import Detections
from training.data.annotations import CLASS_IDS, AnnotatedPhoto

MATCH_IOU = 0.5
"""A detection finds a labelled tooth from this overlap on."""

RESAMPLES = 1000
INTERVAL = (2.5, 97.5)
"""Percentiles of the bootstrap distribution: a 95 % interval."""

COCO_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")

Scored = npt.NDArray[np.float64]


def coco_evaluation(photos: Sequence[AnnotatedPhoto], predictions: Sequence[Detections]) -> Any:
    """A `COCOeval` over these photos that has run `evaluate()`; box sizes are in pixels of the photos."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image_id, (photo, detections) in enumerate(zip(photos, predictions, strict=True), start=1):
        scale = np.array([photo.height, photo.width, photo.height, photo.width], np.float64)
        for (ymin, xmin, ymax, xmax), class_id in zip(photo.boxes * scale, photo.class_ids, strict=True):
            width, height = xmax - xmin, ymax - ymin
            truth.append(
                {
                    "id": len(truth) + 1,
                    "image_id": image_id,
                    "category_id": int(class_id),
                    "bbox": [xmin, ymin, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                }
            )
        for box, score, class_id in detections:
            ymin, xmin, ymax, xmax = box * scale
            found.append(
                {
                    "image_id": image_id,
                    "category_id": class_id,
                    "bbox": [xmin, ymin, xmax - xmin, ymax - ymin],
                    "score": score,
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = COCO()
        dataset.dataset = {
            "info": {},
            "images": [
                {"id": number, "width": photo.width, "height": photo.height}
                for number, photo in enumerate(photos, start=1)
            ],
            "annotations": truth,
            "categories": [{"id": class_id, "name": name} for name, class_id in CLASS_IDS.items()],
        }
        dataset.createIndex()
        results = COCO()
        results.dataset = {**dataset.dataset, "annotations": []}
        results.createIndex()
        evaluation = COCOeval(dataset, dataset.loadRes(found) if found else results, "bbox")
        evaluation.evaluate()
    return evaluation


def coco_figures(evaluation: Any) -> dict[str, float]:
    """The 12 COCO numbers by `COCO_NAMES`; a number that the photos cannot give is -1, as in COCO.

    Args:
        evaluation: what `coco_evaluation` returned.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(value) for name, value in zip(COCO_NAMES, evaluation.stats, strict=True)}


def precisions_at_recalls(evaluation: Any, class_id: int, sample: Sequence[int]) -> Scored:
    """What `COCOeval.accumulate` makes of the boxes of all sizes, without its loops, for a resample of photos.

    Args:
        evaluation: what `coco_evaluation` returned.
        class_id: of one class.
        sample: positions of photos, with repetitions.

    Returns:
        `[IoU thresholds, recall thresholds]`: the highest precision of a class at each recall or more, 0 at a recall
        that is not reached, -1 where the sample holds no label of the class.
    """
    parameters = evaluation.params
    # evalImgs runs over classes, then areas, then photos; the first area is "all".
    first = parameters.catIds.index(class_id) * len(parameters.areaRng) * len(parameters.imgIds)
    of_photos = [found for position in sample if (found := evaluation.evalImgs[first + position])]
    labelled = sum(np.count_nonzero(found["gtIgnore"] == 0) for found in of_photos)
    if not labelled:
        return np.full((len(parameters.iouThrs), len(parameters.recThrs)), -1.0)
    scores = np.concatenate([found["dtScores"] for found in of_photos])
    order = np.argsort(-scores, kind="stable")
    correct = np.concatenate([found["dtMatches"] for found in of_photos], axis=1)[:, order] > 0
    counted = np.concatenate([found["dtIgnore"] for found in of_photos], axis=1)[:, order] == 0
    true = np.cumsum(correct & counted, axis=1, dtype=np.float64)
    shown = np.cumsum(counted, axis=1, dtype=np.float64)
    precision = true / (shown + np.spacing(1))
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    best = np.pad(best, ((0, 0), (0, 1)))
    reached = np.stack([np.searchsorted(recall, parameters.recThrs) for recall in true / labelled])
    return np.take_along_axis(best, reached, axis=1)


def average_precisions(evaluation: Any, sample: Sequence[int] | None = None) -> dict[str, float]:
    """mAP@.5:.95, mAP@.5 and AP@.5 of each class from an evaluated `COCOeval`, optionally over a resample of photos.

    The means are over the classes that are labelled. NaN is what the sample cannot give: where it holds no label of a
    class, the AP of the class, and the means if other photos hold one.

    Args:
        evaluation: what `coco_evaluation` returned.
        sample: positions of photos, with repetitions; all photos once if None.
    """
    sample = range(len(evaluation.params.imgIds)) if sample is None else sample
    class_ids = evaluation.params.catIds
    precision = np.stack([precisions_at_recalls(evaluation, class_id, sample) for class_id in class_ids], axis=-1)

    def mean(values: Scored) -> float:
        known = values[values > -1]
        return float(known.mean()) if known.size else np.nan

    of_class = {class_id: mean(precision[0, :, class_ids.index(class_id)]) for class_id in CLASS_IDS.values()}
    labelled = {annotation["category_id"] for annotation in evaluation.cocoGt.anns.values()}
    if any(np.isnan(of_class[class_id]) for class_id in labelled):
        precision = precision[..., :0]
    return {
        "mAP@.5:.95": mean(precision),
        "mAP@.5": mean(precision[0]),
        **{f"AP@.5 {name}": of_class[class_id] for name, class_id in CLASS_IDS.items()},
    }


@dataclass(frozen=True, slots=True)
class Matches:
    """How the detections of one class on one photo fared against its labels.

    Attributes:
        scores: float64 `[n]`, highest first.
        correct: bool `[n]`, whether the detection found a tooth of the class that none before it had found.
        labelled: labelled teeth of the class.
    """

    scores: Scored
    correct: npt.NDArray[np.bool_]
    labelled: int


def match(photo: AnnotatedPhoto, detections: Detections, class_id: int, min_iou: float = MATCH_IOU) -> Matches:
    """Greedy matching by score, each label at most once, each detection to its best free label (as COCO does)."""
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


@dataclass(frozen=True, slots=True)
class Counts:
    """What was shown and what was right at some score threshold, summed over photos. Rates of nothing are 0."""

    true: int
    shown: int
    labelled: int
    photos: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.true + other.true,
            self.shown + other.shown,
            self.labelled + other.labelled,
            self.photos + other.photos,
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
    """Counts over these photos of the detections that reach the threshold."""
    return Counts(
        true=sum(int(item.correct[item.scores >= score_threshold].sum()) for item in matches),
        shown=sum(int((item.scores >= score_threshold).sum()) for item in matches),
        labelled=sum(item.labelled for item in matches),
        photos=len(matches),
    )


def best_f1(matches: Sequence[Matches]) -> tuple[float, Counts]:
    """The score threshold of the highest F1, and the counts there; threshold 1 where nothing was detected."""
    labelled = sum(item.labelled for item in matches)
    scores = np.concatenate([np.zeros(0), *(item.scores for item in matches)])
    if not len(scores):
        return 1.0, Counts(0, 0, labelled, len(matches))
    correct = np.concatenate([item.correct for item in matches])
    order = np.argsort(-scores, kind="stable")
    scores, true = scores[order], np.cumsum(correct[order])
    shown = np.arange(1, len(scores) + 1)
    # A threshold admits every detection of its score, so only the last one of equal scores is a candidate.
    last = np.append(scores[1:] != scores[:-1], True)
    best = int(np.argmax(np.where(last, 2 * true / (shown + labelled), -1.0)))
    return float(scores[best]), Counts(int(true[best]), int(shown[best]), labelled, len(matches))


def bootstrap(
    photos: int, figure: Callable[[Sequence[int]], dict[str, float]], *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """A 95 % interval of each figure.

    Args:
        photos: how many photos there are.
        figure: positions of photos, with repetitions, to figures by name; NaN where they cannot give one, which does
            not count towards its interval, which is NaN where no draw gives the figure.
        resamples: how many times photos are drawn.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    draws = [figure(random.integers(0, photos, photos).tolist()) for _ in range(resamples)]
    intervals = {}
    for name in draws[0]:
        values = np.array([draw[name] for draw in draws])
        known = values[~np.isnan(values)]
        low, high = np.percentile(known, INTERVAL) if len(known) else (np.nan, np.nan)
        intervals[name] = (float(low), float(high))
    return intervals
