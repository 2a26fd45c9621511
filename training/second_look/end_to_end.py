"""What further opinions of a tooth are worth end to end: a detector's boxes scored with and without, on photos that
no model saw in training. The fusion is fitted on other photos than it is judged on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from app.detections import Detections
from app.screening import box_iou
from training.annotations import CLASS_IDS, AnnotatedPhoto
from training.curves import photo_scores
from training.evaluate import SCREENED_CLASS, main_figures, match_screened
from training.metrics import MATCH_IOU, bootstrap, coco_evaluation
from training.score_calibration import CalibrationError
from training.second_look.fusion import (
    IDS,
    SeenTeeth,
    cross_fitted,
)
from training.second_look.opinions import detector_opinion

PARTS = 5
"""Parts that the photos of a single fold are dealt into, by group."""

BASE = "detector, calibrated"

LABELLED = "class as labelled"


def parts_of(photos: Sequence[AnnotatedPhoto]) -> list[int]:
    """Which part each photo is in: its fold, or by group where all photos are of one fold."""
    folds = [photo.fold for photo in photos]
    if len(set(folds)) > 1:
        return folds
    return [hashlib.sha256(photo.group.encode()).digest()[0] % PARTS for photo in photos]


def class_as_labelled(photo: AnnotatedPhoto, seen: SeenTeeth) -> Detections:
    """What the boxes would be worth if the class were always right: each tooth's highest score goes to the class of the
    label that the box overlaps by half, or stays with the detector's class where there is none."""
    highest, classes = seen.scores.max(axis=1, initial=0.0), seen.scores.argmax(axis=1)
    if len(photo.boxes):
        overlaps = box_iou(seen.boxes, photo.boxes)
        labels = (photo.class_ids[:, None] == np.array(IDS)).argmax(axis=1)[overlaps.argmax(axis=1)]
        classes = np.where(overlaps.max(axis=1) >= MATCH_IOU, labels, classes)
    return Detections(seen.boxes, highest.astype(np.float32), np.array(IDS, np.int32)[classes])


def compare(
    photos: Sequence[AnnotatedPhoto], detections: Sequence[Detections], seen: Sequence[SeenTeeth]
) -> dict[str, list[Detections]]:
    """The detections as they are, with the class as labelled, and calibrated: alone, with each further opinion, with
    all of them. Where there is nothing to calibrate on, the first two.

    Args:
        photos: labelled.
        detections: of detectors that saw none of them in training.
        seen: the same by tooth, all with opinions of the same names.
    """
    parts = parts_of(photos)
    opinions = list(seen[0].opinions)
    scorers: dict[str, list[str]] = {BASE: [], **{f"with {name}": [name] for name in opinions}}
    if len(opinions) > 1:
        scorers["with all"] = opinions
    labelled = [class_as_labelled(photo, item) for photo, item in zip(photos, seen, strict=True)]
    try:
        scored = {name: cross_fitted(photos, seen, names, parts) for name, names in scorers.items()}
    except CalibrationError:
        scored = {}
    return {"detector": list(detections), LABELLED: labelled, **scored}


def table(
    photos: Sequence[AnnotatedPhoto], scored: Mapping[str, Sequence[Detections]], *, resamples: int = 1000
) -> str:
    """Figures of each way to score with 95 % intervals by bootstrap over photos, and how far each is above `BASE`."""
    labels = [photo.class_ids == CLASS_IDS[SCREENED_CLASS] for photo in photos]
    prepared = {
        name: (
            coco_evaluation(photos, found),
            match_screened(photos, found),
            [detector_opinion(photo, item) for photo, item in zip(photos, found, strict=True)],
        )
        for name, found in scored.items()
    }

    def figures(sample: Sequence[int]) -> dict[str, float]:
        values: dict[str, float] = {}
        for name, (evaluation, matches, opinions) in prepared.items():
            chosen = [matches[place] for place in sample]
            said = np.concatenate([opinions[place] for place in sample])
            right = ((said > 0) == np.concatenate([labels[place] for place in sample]))[~np.isnan(said)]
            auc = photo_scores(chosen).auc
            of_name = {
                **main_figures(evaluation, matches, sample),
                "photo AUC": np.nan if auc is None else auc,
                "class right": float(right.mean()) if len(right) else np.nan,
            }
            values |= {f"{name}|{figure}": value for figure, value in of_name.items()}
        for key in list(values):
            name, _, figure = key.partition("|")
            if name != BASE and BASE in prepared:
                values[f"{key}|gain"] = values[key] - values[f"{BASE}|{figure}"]
        return values

    found, intervals = figures(range(len(photos))), bootstrap(len(photos), figures, resamples=resamples)
    names = list(dict.fromkeys(key.split("|")[1] for key in found))
    rows = ["| scores | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for suffix, title in (("", "{}"), ("|gain", f"{{}} - {BASE}")):
        for name in scored:
            if suffix and (name == BASE or BASE not in scored):
                continue
            keys = [f"{name}|{figure}{suffix}" for figure in names]
            sign = "+" if suffix else ""
            cells = [
                "-"
                if np.isnan(found[key])
                else f"{found[key]:{sign}.3f} [{intervals[key][0]:{sign}.3f}, {intervals[key][1]:{sign}.3f}]"
                for key in keys
            ]
            rows.append(f"| {title.format(name)} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"
