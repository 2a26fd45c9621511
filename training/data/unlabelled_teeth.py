"""Teeth without a label, found by a detector, so that the training does not learn them as background.

In a data set of `carious teeth only`, a tooth that the detector finds and that has no label becomes a box of `normal`:
of weight 1 if the detector agrees, of weight 0.5 if it finds caries, which the labellers would have marked, of weight 0
if it is uncertain. In one of `nearly every tooth` it becomes a box of weight 0, whose anchors are left out of the loss.
These boxes are only in the records of the training; figures are of the labels.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from app.detector.boxes import box_iou, tooth_numbers
from app.detector.detections import Detections
from app.photo.decoding import decode
from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.data.data_sets import DataSet, Labels
from training.data.saved_photos import photos_sha256
from training.data.source import AnnotationError, PartialLabels, Source, ToothDetector
from training.output import write_file

MIN_SCORE = 0.12
"""Lowest score of a possible tooth, uncalibrated."""
MIN_NORMAL_SCORE = 0.30
MIN_CARIES_SCORE = 0.40
MAX_TEETH = 60
"""Considered on a photo."""

LABELLED_OVERLAP = 0.5
"""A detection that overlaps a label by at least this share of the smaller box is the labelled tooth."""
DUPLICATE_IOU, DUPLICATE_OVERLAP = 0.35, 0.7
"""Above which a box repeats a better one."""
IGNORED_IOU, IGNORED_OVERLAP = 0.2, 0.5
"""The same for a box of weight 0, which must not take anchors from the others."""

Boxes = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FoundTeeth:
    """Teeth without a label: boxes `[n, 4]` as in `AnnotatedPhoto`, weights in the loss `[n]`, 0, 0.5 or 1."""

    boxes: Boxes
    weights: npt.NDArray[np.float32]


def usable_sets(data_sets: Sequence[DataSet], source: Source) -> list[DataSet]:
    """The data sets, those that are left out for their labels with a weight of 0. Raises AnnotationError: only carious
    teeth are labelled, and the source neither has a detector of the others nor says what to do."""
    if source.teeth_from or source.partial_labels is PartialLabels.BACKGROUND:
        return list(data_sets)
    partial = [data_set for data_set in data_sets if data_set.labels is Labels.CARIOUS_TEETH_ONLY]
    if partial and source.partial_labels is PartialLabels.REFUSE:
        raise AnnotationError(
            f"{partial[0].name}: only carious teeth are labelled, so the others would be learned as background; give "
            "--teeth-from a bundle, run or checkpoint that finds them, --teeth-from leave-out or --teeth-from none"
        )
    return [replace(data_set, weight=0) if data_set in partial else data_set for data_set in data_sets]


def find_unlabelled_teeth(
    photos: Sequence[AnnotatedPhoto], data_sets: Sequence[DataSet], detector: ToothDetector, path: Path
) -> dict[str, FoundTeeth]:
    """Find teeth on the photos of sets in which not every tooth is labelled, by the photo's file name, and save them;
    or read them, if the same detector was run on the same photos before."""
    labels = {data_set.name: data_set.labels for data_set in data_sets}
    partly = [photo for photo in photos if labels[photo.source] is not Labels.EVERY_TOOTH]
    identity = {"detector": detector.as_dict(), "photos_sha256": photos_sha256(partly)}
    if path.exists():
        saved = json.loads(path.read_text(encoding="utf-8"))
        if {key: saved.get(key) for key in identity} == identity:
            return _from_dict(saved["photos"])
    runtime = detector.load()
    found = {}
    for photo in tqdm(partly, desc="teeth", unit="photo", leave=False):
        detections = runtime.detect(decode(photo.path.read_bytes()).pixels)
        found[photo.path.name] = unlabelled_teeth(photo.boxes, detections, labels[photo.source])
    entries = {
        name: {"boxes": teeth.boxes.tolist(), "weights": teeth.weights.tolist()} for name, teeth in found.items()
    }
    place = str(detector.place.resolve()) if detector.place else None
    write_file(path, json.dumps({**identity, "place": place, "photos": entries}) + "\n")
    return _from_dict(entries)


def saved_detector(path: Path) -> dict[str, str] | None:
    """Name and SHA-256 of the detector that found the saved teeth; None if there are none."""
    if not path.exists():
        return None
    detector: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["detector"]
    return detector


def saved_place(path: Path) -> Path | None:
    """Where that detector was; None if there is none, or an earlier version saved the teeth."""
    place = json.loads(path.read_text(encoding="utf-8")).get("place") if path.exists() else None
    return Path(place) if place else None


def with_teeth(photo: AnnotatedPhoto, teeth: FoundTeeth | None) -> AnnotatedPhoto:
    """The photo with its unlabelled teeth as boxes of `normal`, for the records of a training."""
    if teeth is None or not len(teeth.weights):
        return photo
    weights = np.ones(len(photo.class_ids), np.float32) if photo.weights is None else photo.weights
    added = np.full(len(teeth.weights), CLASS_IDS["normal"], np.int32)
    return replace(
        photo,
        boxes=np.concatenate([photo.boxes, teeth.boxes]),
        class_ids=np.concatenate([photo.class_ids, added]),
        weights=np.concatenate([weights, teeth.weights]),
    )


def unlabelled_teeth(labelled: Boxes, detections: Detections, labels: Labels) -> FoundTeeth:
    """The teeth among the detections on a photo that have none of its labelled boxes `[n, 4]`, best first."""
    boxes, scores = _merge_classes(detections)
    if len(labelled):
        _, overlap = _overlaps(boxes, labelled)
        is_new = overlap.max(axis=1, initial=0) < LABELLED_OVERLAP
        boxes, scores = boxes[is_new], scores[is_new]
    normal, caries = scores[:, CLASS_IDS["normal"]], scores[:, CLASS_IDS["caries"]]
    weights = np.zeros(len(boxes), np.float32)
    if labels is Labels.CARIOUS_TEETH_ONLY:
        weights[(normal >= MIN_NORMAL_SCORE) & (normal >= caries)] = 1
        weights[(caries >= MIN_CARIES_SCORE) & (caries > normal)] = 0.5
    kept = labelled.reshape(-1, 4)
    chosen: list[int] = []
    for position in np.argsort(-weights, kind="stable"):
        iou, overlap = _overlaps(boxes[position][None], kept)
        is_used = weights[position] > 0
        if (iou > (DUPLICATE_IOU if is_used else IGNORED_IOU)).any():
            continue
        if (overlap > (DUPLICATE_OVERLAP if is_used else IGNORED_OVERLAP)).any():
            continue
        kept = np.concatenate([kept, boxes[position][None]])
        chosen.append(int(position))
    return FoundTeeth(boxes[chosen], weights[chosen])


def _merge_classes(detections: Detections) -> tuple[Boxes, npt.NDArray[np.float32]]:
    """The box of each tooth `[n, 4]`, best first, and its score as each class id `[n, ids]`."""
    likely = detections.where(detections.scores >= MIN_SCORE)
    numbers, first = np.unique(tooth_numbers(likely), return_index=True)
    scores = np.zeros((len(numbers), max(CLASS_IDS.values()) + 1), np.float32)
    np.maximum.at(scores, (tooth_numbers(likely), likely.class_ids), likely.scores)
    return likely.boxes[first][:MAX_TEETH], scores[:MAX_TEETH]


def _overlaps(boxes: Boxes, others: Boxes) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """IoU, and intersection over the smaller area, of every pair, `[n, m]`."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    intersection = np.prod(np.clip(high - low, 0, None), axis=2)
    smaller = np.minimum(_areas(boxes)[:, None], _areas(others)[None])
    return box_iou(boxes, others), intersection / smaller


def _areas(boxes: Boxes) -> npt.NDArray[np.float32]:
    areas: npt.NDArray[np.float32] = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return areas


def _from_dict(entries: Mapping[str, Any]) -> dict[str, FoundTeeth]:
    return {
        name: FoundTeeth(np.array(entry["boxes"], np.float32).reshape(-1, 4), np.array(entry["weights"], np.float32))
        for name, entry in entries.items()
    }
