"""Annotated photos: read and check a folder or zip file of photos and labels.

The project's own layout, which `render` writes:

    img_train/NAME.jpg      photos
    json_train/NAME.json    a VIA file per photo: regions of shape `rect` labelled `normal` or `caries`
    folds.csv               optional: image,group,fold. Photos of a group (look-alikes) share a fold

Any other layout works too: photos and labels are recognized by content (`training.data.formats`) and joined by name.
Without `folds.csv`, near-duplicates are grouped and the groups are dealt into folds.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.detector.boxes import box_iou
from app.errors import PhotoError
from app.photo.decoding import decode
from training.data.data_sets import DataSet, find_data_set
from training.data.formats import FORMATS, FormatError, LabelledBox, PhotoLabels
from training.data.formats.registry import read_label_file
from training.data.groups import FOLDS, Hashes, assign_folds, group_look_alikes, perceptual_hashes
from training.data.source import AnnotationError, Files, Source, find_files

__all__ = [
    "CLASS_IDS",
    "FOLDS",
    "AnnotatedPhoto",
    "AnnotationError",
    "ReadData",
    "Source",
    "read_annotated_photos",
]

CLASS_IDS = {"normal": 1, "caries": 2}
"""The label map of the project."""

EDGE_TOLERANCE = 2.0
"""Pixels by which a hand-drawn box may cross the photo's edge, where it is clipped."""

DUPLICATE_IOU = 0.95
"""IoU from which two boxes of a photo count as one box drawn twice."""

EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class AnnotatedPhoto:
    """One upright photo with its labelled teeth: boxes `[n, 4]`, `[ymin, xmin, ymax, xmax]` as fractions of height and
    width, and `CLASS_IDS` `[n]`. Look-alikes share the group and therefore the fold, 0 to 4. `source` is the name of
    the data set; `weights` `[n]` are those of the boxes in the training loss, None for 1 each."""

    path: Path
    width: int
    height: int
    boxes: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int32]
    group: str
    fold: int
    source: str = ""
    weights: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class ReadData:
    """Attributes: the valid photos, in order of their file names; the number of photos skipped, and why, one line per
    problem; the data sets; if several were pooled, the data of each by the set's name."""

    photos: list[AnnotatedPhoto]
    skipped: int
    problems: list[str]
    data_sets: Sequence[DataSet]
    sets: Mapping[str, "ReadData"] = field(default_factory=dict)


def read_annotated_photos(data: Path, source: Source | None = None) -> list[AnnotatedPhoto]:
    """`read_data`, if the skipped photos do not matter."""
    return read_data(data, source).photos


def read_data(data: Path, source: Source | None = None) -> ReadData:
    """Read and check annotated photos in a folder or zip file, or those that a `dataset.toml` names.

    With `skip_invalid` a photo with any problem is left out, along with its labels and its row of `folds.csv`. Raises
    AnnotationError: anything is missing, unreadable or out of range; all problems are listed. With `skip_invalid` only
    if a problem concerns more than one photo, or no valid photo is left.
    """
    source = source or Source()
    for label, name in source.rename.items():
        if name not in CLASS_IDS:
            raise AnnotationError(f"--rename {label}={name}: allowed are {', '.join(CLASS_IDS)}")
    data_set, place = find_data_set(data)
    files = find_files(place, source)
    problems = files.problems
    labels = _read_labels(files)
    by_key = _photos_by_key(files)
    for key, path in by_key.items():
        if key not in labels and key not in problems.by_key:
            problems.by_key[key].append(f"{path.name}: no labels")
    photos: dict[str, AnnotatedPhoto] = {}
    hashes: dict[str, Hashes] = {}
    for key, (where, photo_labels) in sorted(labels.items()):
        problems.by_key[key] += [f"{where}: {line}" for line in photo_labels.problems]
        if key not in by_key:
            problems.by_key[key].append(f"{where}: no photo")
            continue
        path = by_key[key]
        try:
            photo = decode(path.read_bytes())
        except (PhotoError, OSError) as error:
            problems.by_key[key].append(f"{path.name}: {error}")
            continue
        found = _check_boxes(photo_labels, photo.width, photo.height, source.rename, _is_turned(path))
        if isinstance(found, list):
            problems.by_key[key] += [f"{where}: {line}" for line in found]
            continue
        photos[key] = AnnotatedPhoto(path, photo.width, photo.height, *found, "", 0, data_set.name)
        if files.splits is None:
            hashes[key] = perceptual_hashes(photo.pixels)
    splits = _read_splits(files, photos, source) if files.splits is not None else None
    invalid = {key for key, lines in problems.by_key.items() if lines}
    if problems.general or (invalid and (not source.skip_invalid or invalid >= by_key.keys())):
        raise AnnotationError("\n".join(problems.lines()))
    keys = [key for key in photos if key not in invalid]
    kept = [photos[key] for key in keys]
    if splits is None:
        groups = [kept[first].path.stem for first in group_look_alikes([hashes[key] for key in keys])]
        has_caries = [bool((photo.class_ids == CLASS_IDS["caries"]).any()) for photo in kept]
        placed = list(zip(groups, assign_folds(groups, has_caries, seed=source.split_seed), strict=True))
    else:
        placed = [splits[photo.path.name] for photo in kept]
    return ReadData(
        [replace(photo, group=group, fold=fold) for photo, (group, fold) in zip(kept, placed, strict=True)],
        sum(files.key(path.name) in invalid for path in files.photos),
        problems.lines(),
        [data_set],
    )


def _read_labels(files: Files) -> dict[str, tuple[str, PhotoLabels]]:
    """For each key of a photo: where its labels are, for messages, and the labels."""
    labels: dict[str, tuple[str, PhotoLabels]] = {}
    is_per_photo = FORMATS[files.format].is_per_photo
    for file in files.labels:
        try:
            found = read_label_file(file, files.classes)
        except FormatError as error:
            if is_per_photo:
                found = {file.path.stem: PhotoLabels(problems=str(error).splitlines())}
            else:
                files.problems.general.extend(f"{file.path.name}: {line}" for line in str(error).splitlines())
                # Its photos are not unlabelled.
                found = {path.name: PhotoLabels() for path in files.photos if path.name not in labels}
        for key, photo_labels in found.items():
            if key in labels:
                files.problems.by_key[key].append(f"{file.path.name}: labels {key} a second time")
            labels[key] = (file.path.name if is_per_photo else f"{file.path.name}, {key}", photo_labels)
    return labels


def _photos_by_key(files: Files) -> dict[str, Path]:
    by_key: dict[str, Path] = {}
    for path in files.photos:
        key = files.key(path.name)
        if key in by_key:
            files.problems.by_key[key].append(f"{path.name}: there is another photo of this name")
        by_key[key] = path
    return by_key


def _check_boxes(
    labels: PhotoLabels, width: int, height: int, rename: Mapping[str, str], is_turned: bool
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]] | list[str]:
    """Boxes as fractions and class ids, or their problems, one line each."""
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
    """The problem with a box, empty if none, and its corners as fractions."""
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
    """Whether its EXIF orientation turns or mirrors the photo."""
    try:
        with Image.open(path) as image:
            return bool(image.getexif().get(EXIF_ORIENTATION, 1) != 1)
    except (OSError, SyntaxError, ValueError):
        return False


def _read_splits(files: Files, photos: Mapping[str, AnnotatedPhoto], source: Source) -> dict[str, tuple[str, int]]:
    """Group and fold by file name of the photo."""
    assert files.splits is not None
    problems, name = files.problems, files.splits.name
    splits: dict[str, tuple[str, int]] = {}
    with files.splits.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file)
        if not {"image", "group", "fold"} <= set(reader.fieldnames or ()):
            problems.general.append(f"{name}: the columns must be image, group and fold")
            return splits
        for row in reader:
            image, text = row["image"], row["fold"] or ""
            is_number = text.isdecimal()
            if not is_number or int(text) >= FOLDS:
                problems.by_key[files.key(image)].append(
                    f"{name}: fold of {image} is {row['fold']!r}, allowed are 0 to {FOLDS - 1}"
                )
            elif image in splits:
                problems.by_key[files.key(image)].append(f"{name}: {image} is listed twice")
            splits[image] = (row["group"], int(text) if is_number else 0)
    for key, photo in photos.items():
        if photo.path.name not in splits:
            problems.by_key[key].append(f"{photo.path.name}: not in {name}")
    folds_by_group: dict[str, set[int]] = defaultdict(set)
    for image, (group, fold) in splits.items():
        if not (source.skip_invalid and problems.by_key.get(files.key(image))):
            folds_by_group[group].add(fold)
    for group, folds in folds_by_group.items():
        if len(folds) > 1:
            problems.general.append(f"{name}: group {group} is in folds {sorted(folds)}, so look-alikes would leak")
    return splits
