"""Annotated photos: reading a folder or zip file of photos and labels, checking every one of them, keeping the result.

The project's own layout, which `render` writes:

    img_train/NAME.jpg      photos
    json_train/NAME.json    one VIA file for each photo, regions of shape `rect` labelled `normal` or `caries`
    folds.csv               optional: image,group,fold. Photos of one group (look-alikes) share a fold

Any other layout is read as well, since photos and labels are told by their content and joined by their names; the
formats are those of `training.data.formats`. Without `folds.csv`, near-duplicates are grouped and the groups dealt into
folds.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.detector.boxes import box_iou
from app.errors import PhotoError
from app.photo import images
from training.data.formats import FORMATS, FormatError, LabelledBox, PhotoLabels
from training.data.formats.registry import SPLITS, read_label_file
from training.data.groups import FOLDS, group_look_alikes, make_folds, perceptual_hashes
from training.data.source import AnnotationError, Files, Source, find_files

__all__ = [
    "CLASS_IDS",
    "FOLDS",
    "AnnotatedPhoto",
    "AnnotationError",
    "Source",
    "read_annotated_photos",
]

CLASS_IDS = {"normal": 1, "caries": 2}
"""The label map of the project."""

EDGE_TOLERANCE = 2.0
"""Pixels by which a hand-drawn box may reach over the photo's edge; it is clipped there."""

DUPLICATE_IOU = 0.95
"""From this overlap on two boxes of a photo are one box drawn twice."""

EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class AnnotatedPhoto:
    """One photo with its labelled teeth.

    Attributes:
        path: the photo's file.
        width, height: pixels of the upright photo.
        boxes: float32 `[n, 4]`, `[ymin, xmin, ymax, xmax]` as fractions of height and width.
        class_ids: int32 `[n]`, ids of `CLASS_IDS`.
        group: photos that show the same mouth or nearly so share a group.
        fold: 0 to 4; the photos of a group share a fold.
    """

    path: Path
    width: int
    height: int
    boxes: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int32]
    group: str
    fold: int


def read_annotated_photos(data: Path, source: Source | None = None) -> list[AnnotatedPhoto]:
    """Every photo, in the order of the file names, checked.

    Args:
        data: a folder, or a zip file.
        source: how to read it.

    Raises:
        AnnotationError: anything is missing, unreadable or out of range. All problems are listed at once.
    """
    source = source or Source()
    for label, name in source.rename.items():
        if name not in CLASS_IDS:
            raise AnnotationError(f"--rename {label}={name}: allowed are {', '.join(CLASS_IDS)}")
    files = find_files(data, source)
    problems = list(files.problems)
    labels = _read_labels(files, problems)
    by_key = _photos_by_key(files, problems)
    problems += [
        f"{path.name}: no labels" for key, path in by_key.items() if key not in labels and path.stem not in files.unread
    ]
    problems += [f"{name}: no photo" for name in _without_photo(files, labels, by_key)]
    photos: list[AnnotatedPhoto] = []
    hashes = []
    for key in sorted(by_key.keys() & labels.keys()):
        where, photo_labels = labels[key]
        try:
            data_bytes = by_key[key].read_bytes()
            photo = images.decode(data_bytes)
        except (PhotoError, OSError) as error:
            problems.append(f"{by_key[key].name}: {error}")
            continue
        found = _check_boxes(photo_labels, photo.width, photo.height, source.rename, _is_turned(by_key[key]))
        if isinstance(found, list):
            problems += [f"{where}: {line}" for line in found]
        else:
            photos.append(AnnotatedPhoto(by_key[key], photo.width, photo.height, *found, "", 0))
            if files.splits is None:
                hashes.append(perceptual_hashes(photo.pixels))
    if files.splits is not None:
        splits = _read_splits(files.splits, problems)
        if splits:
            problems += [f"{photo.path.name}: not in {SPLITS}" for photo in photos if photo.path.name not in splits]
    if problems:
        raise AnnotationError("\n".join(sorted(problems)))
    if files.splits is not None:
        return [replace(p, group=splits[p.path.name][0], fold=splits[p.path.name][1]) for p in photos]
    groups = [photos[first].path.stem for first in group_look_alikes(hashes)]
    has_caries = [bool((photo.class_ids == CLASS_IDS["caries"]).any()) for photo in photos]
    folds = make_folds(groups, has_caries, seed=source.split_seed)
    return [replace(p, group=group, fold=fold) for p, group, fold in zip(photos, groups, folds, strict=True)]


def _read_labels(files: Files, problems: list[str]) -> dict[str, tuple[str, PhotoLabels]]:
    """Key of the photo to where its labels stand, and the labels."""
    labels: dict[str, tuple[str, PhotoLabels]] = {}
    for file in files.labels:
        try:
            found = read_label_file(file, files.classes)
        except FormatError as error:
            problems += [f"{file.path.name}: {line}" for line in str(error).splitlines()]
            # Its photos are not to be called unlabelled as well.
            keys = [file.path.stem] if FORMATS[files.format].is_per_photo else [path.name for path in files.photos]
            found = {key: PhotoLabels() for key in keys if key not in labels}
        for key, photo_labels in found.items():
            if key in labels:
                problems.append(f"{file.path.name}: labels {key} a second time")
            where = file.path.name if FORMATS[files.format].is_per_photo else f"{file.path.name}, {key}"
            labels[key] = (where, photo_labels)
    return labels


def _photos_by_key(files: Files, problems: list[str]) -> dict[str, Path]:
    """Photos by what labels call them: the name without suffix, or the whole name."""
    by_key: dict[str, Path] = {}
    for path in files.photos:
        key = path.stem if FORMATS[files.format].is_per_photo else path.name
        if key in by_key:
            problems.append(f"{path.name}: there is another photo of this name")
        by_key[key] = path
    return by_key


def _without_photo(
    files: Files, labels: Mapping[str, tuple[str, PhotoLabels]], by_key: Mapping[str, Path]
) -> list[str]:
    return [where for key, (where, _) in labels.items() if key not in by_key]


def _check_boxes(
    labels: PhotoLabels, width: int, height: int, rename: Mapping[str, str], is_turned: bool
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]] | list[str]:
    """Boxes as fractions and class ids, or every problem with them, a line each."""
    hint = "; its EXIF orientation turns it: save it upright, and label that" if is_turned else ""
    if labels.size is not None and labels.size != (width, height):
        return [f"labelled at {labels.size[0]}x{labels.size[1]} pixels, the upright photo has {width}x{height}{hint}"]
    problems: list[str] = []
    boxes: list[list[float]] = []
    class_ids: list[int] = []
    places: list[str] = []
    for box in labels.boxes:
        problem, corners = _check_box(box, width, height)
        name = rename.get(box.label, box.label)
        if problem:
            problems.append(f"{box.where}: {problem}{hint if 'leaves' in problem else ''}")
        elif name not in CLASS_IDS:
            allowed = ", ".join(CLASS_IDS)
            problems.append(
                f"{box.where}: label {box.label!r}, allowed are {allowed}; rename it with --rename {box.label}=caries"
            )
        else:
            boxes.append(corners)
            class_ids.append(CLASS_IDS[name])
            places.append(box.where)
    array = np.clip(np.array(boxes, np.float32).reshape(-1, 4), 0.0, 1.0)
    overlaps = np.triu(box_iou(array, array), 1)
    for first, second in np.argwhere(overlaps >= DUPLICATE_IOU):
        problems.append(f"{places[second]}: the same box as {places[first]}")
    return problems or (array, np.array(class_ids, np.int32))


def _check_box(box: LabelledBox, width: int, height: int) -> tuple[str, list[float]]:
    """What is wrong with a box, empty if nothing is, and its corners as fractions."""
    across, down = (1, 1) if box.is_relative else (width, height)
    x, y, w, h = box.x / across, box.y / down, box.width / across, box.height / down
    if not all(math.isfinite(value) for value in (x, y, w, h)):
        return "the box is not four finite numbers", []
    px, py, pw, ph = x * width, y * height, w * width, h * height
    if not (pw > 0 and ph > 0):
        return f"the box is empty ({pw:g} x {ph:g} pixels)", []
    tolerance = EDGE_TOLERANCE
    if min(px, py) < -tolerance or px + pw > width + tolerance or py + ph > height + tolerance:
        return f"the box {px:g},{py:g} {pw:g}x{ph:g} leaves the photo of {width}x{height}", []
    return "", [y, x, y + h, x + w]


def _is_turned(path: Path) -> bool:
    """Whether viewers turn or mirror the photo by its EXIF orientation."""
    try:
        with Image.open(path) as image:
            return bool(image.getexif().get(EXIF_ORIENTATION, 1) != 1)
    except (OSError, SyntaxError, ValueError):
        return False


def _read_splits(path: Path, problems: list[str]) -> dict[str, tuple[str, int]]:
    """Photo name to group and fold."""
    splits: dict[str, tuple[str, int]] = {}
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file)
        if not {"image", "group", "fold"} <= set(reader.fieldnames or ()):
            problems.append(f"{path.name}: the columns must be image, group and fold")
            return splits
        for row in reader:
            name = row["image"]
            if not (row["fold"] or "").isdecimal() or int(row["fold"]) >= FOLDS:
                problems.append(f"{path.name}: fold of {name} is {row['fold']!r}, allowed are 0 to {FOLDS - 1}")
            elif name in splits:
                problems.append(f"{path.name}: {name} is in it twice")
            splits[name] = (row["group"], int(row["fold"]) if (row["fold"] or "").isdecimal() else 0)
    folds_of_group: dict[str, set[int]] = {}
    for group, fold in splits.values():
        folds_of_group.setdefault(group, set()).add(fold)
    for group, folds in folds_of_group.items():
        if len(folds) > 1:
            problems.append(f"{path.name}: group {group} is in folds {sorted(folds)}, so look-alikes would leak")
    return splits
