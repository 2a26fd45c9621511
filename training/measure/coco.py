"""COCO's average precisions, by pycocotools, and a fast form of them for resamples of photos."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from app.detector.detections import Detections
from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.measure.metrics import Floats

COCO_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def coco_evaluation(photos: Sequence[AnnotatedPhoto], predictions: Sequence[Detections]) -> Any:
    """A `COCOeval` of these photos after `evaluate()`; box sizes are in pixels of the photos."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    labels: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image_id, (photo, detections) in enumerate(zip(photos, predictions, strict=True), start=1):
        scale = np.array([photo.height, photo.width, photo.height, photo.width], np.float64)
        for box, class_id in zip(photo.boxes, photo.class_ids, strict=True):
            entry = _entry(image_id, box * scale, int(class_id))
            labels.append({**entry, "id": len(labels) + 1, "area": entry["bbox"][2] * entry["bbox"][3], "iscrowd": 0})
        found += [{**_entry(image_id, box * scale, class_id), "score": score} for box, score, class_id in detections]
    images = [{"id": n, "width": photo.width, "height": photo.height} for n, photo in enumerate(photos, start=1)]
    categories = [{"id": class_id, "name": name} for name, class_id in CLASS_IDS.items()]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"info": {}, "images": images, "annotations": labels, "categories": categories}
        truth.createIndex()
        results = COCO()
        results.dataset = {**truth.dataset, "annotations": []}
        results.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found) if found else results, "bbox")
        evaluation.evaluate()
    return evaluation


def _entry(image_id: int, box: Floats, class_id: int) -> dict[str, Any]:
    ymin, xmin, ymax, xmax = box
    return {"image_id": image_id, "category_id": class_id, "bbox": [xmin, ymin, xmax - xmin, ymax - ymin]}


def coco_figures(evaluation: Any) -> dict[str, float]:
    """The 12 COCO numbers of a `coco_evaluation` by `COCO_NAMES`; -1 for a number that is undefined, as in COCO."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(value) for name, value in zip(COCO_NAMES, evaluation.stats, strict=True)}


def validation_figures(photos: Sequence[AnnotatedPhoto], predictions: Sequence[Detections]) -> dict[str, float]:
    """`average_precisions` of these photos, for the evaluations during a training."""
    return average_precisions(coco_evaluation(photos, predictions))


def precisions_at_recalls(evaluation: Any, class_id: int, sample: Sequence[int]) -> Floats:
    """`COCOeval.accumulate` for boxes of all sizes, without its loops, over a resample of photos: `[IoU thresholds,
    recall thresholds]`, the highest precision at each recall or more, 0 at a recall that is not reached, -1 if the
    sample has no label of the class."""
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
    """mAP@.5:.95, mAP@.5 and AP@.5 of each class, over a resample of photos; over all photos once if None.

    The means are over the labelled classes. A figure is NaN if the sample cannot give it: the AP of a class without a
    label in the sample, and the means if other photos have labels of that class.
    """
    sample = range(len(evaluation.params.imgIds)) if sample is None else sample
    class_ids = evaluation.params.catIds
    precision = np.stack([precisions_at_recalls(evaluation, class_id, sample) for class_id in class_ids], axis=-1)

    def mean(values: Floats) -> float:
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
