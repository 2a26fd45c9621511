"""Annotated photos: reading and checking a folder of photos and VGG Image Annotator (VIA) labels.

Layout of the folder:

    img_train/NAME.jpg      photos
    json_train/NAME.json    one VIA file for each photo, regions of shape `rect` labelled `normal` or `caries`
    folds.csv               optional: image,group,fold. Photos of one group (look-alikes) share a fold
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app import images
from app.errors import PhotoError
from training.errors import TrainingError

CLASS_IDS = {"normal": 1, "caries": 2}
"""The label map of the project."""

FOLDS = 5

EDGE_TOLERANCE = 2.0
"""Pixels by which a hand-drawn box may reach over the photo's edge; it is clipped there."""


class AnnotationError(TrainingError):
    """The folder cannot be trained on; the message lists every problem, a line each."""


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


def read_annotated_photos(folder: Path) -> list[AnnotatedPhoto]:
    """Every photo of the folder, in the order of the file names, checked.

    Raises:
        AnnotationError: anything is missing, unreadable or out of range. All problems are listed at once.
    """
    photo_paths = {path.stem: path for path in sorted((folder / "img_train").glob("*")) if path.is_file()}
    label_paths = {path.stem: path for path in sorted((folder / "json_train").glob("*.json"))}
    problems: list[str] = []
    if not photo_paths:
        problems.append(f"{folder}: no photo in img_train/")
    problems += [f"{photo_paths[stem].name}: no labels in json_train/" for stem in photo_paths.keys() - label_paths]
    problems += [f"{label_paths[stem].name}: no photo in img_train/" for stem in label_paths.keys() - photo_paths]
    splits = _read_splits(folder / "folds.csv", problems)
    photos: list[AnnotatedPhoto] = []
    for stem in sorted(photo_paths.keys() & label_paths.keys()):
        path = photo_paths[stem]
        if splits is None:
            group, fold = stem, _hashed_fold(stem)
        elif path.name in splits:
            group, fold = splits[path.name]
        else:
            problems.append(f"{path.name}: not in folds.csv")
            continue
        try:
            photo = images.decode(path.read_bytes())
            boxes, class_ids = _read_via(label_paths[stem], photo.width, photo.height)
        except PhotoError as error:
            problems.append(f"{path.name}: {error}")
        except AnnotationError as error:
            problems += [f"{label_paths[stem].name}: {line}" for line in str(error).splitlines()]
        else:
            photos.append(AnnotatedPhoto(path, photo.width, photo.height, boxes, class_ids, group, fold))
    if problems:
        raise AnnotationError("\n".join(sorted(problems)))
    return photos


def save_photos(photos: Sequence[AnnotatedPhoto], path: Path) -> None:
    """Writes what `load_photos` reads: every photo's absolute path and sha256, its boxes, group and fold."""
    entries = [
        {
            "path": str(photo.path.resolve()),
            "sha256": _sha256(photo.path),
            "width": photo.width,
            "height": photo.height,
            "boxes": photo.boxes.tolist(),
            "class_ids": photo.class_ids.tolist(),
            "group": photo.group,
            "fold": photo.fold,
        }
        for photo in photos
    ]
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def load_photos(path: Path) -> list[AnnotatedPhoto]:
    """The photos as they were saved.

    Raises:
        AnnotationError: a photo was changed or removed since; all of them are listed.
    """
    photos: list[AnnotatedPhoto] = []
    problems: list[str] = []
    for entry in json.loads(path.read_text(encoding="utf-8")):
        file = Path(entry["path"])
        if not file.is_file():
            problems.append(f"{file}: it was removed after it was prepared")
        elif _sha256(file) != entry["sha256"]:
            problems.append(f"{file}: it was changed after it was prepared")
        photos.append(
            AnnotatedPhoto(
                file,
                entry["width"],
                entry["height"],
                np.array(entry["boxes"], np.float32).reshape(-1, 4),
                np.array(entry["class_ids"], np.int32),
                entry["group"],
                entry["fold"],
            )
        )
    if problems:
        raise AnnotationError("\n".join(problems))
    return photos


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hashed_fold(stem: str) -> int:
    """A fold that depends on the name alone, so that adding photos moves none."""
    return int.from_bytes(hashlib.sha256(stem.encode()).digest()[:4], "big") % FOLDS


def _read_splits(path: Path, problems: list[str]) -> dict[str, tuple[str, int]] | None:
    """Photo name to (group, fold), or None where there is no such file."""
    if not path.exists():
        return None
    splits: dict[str, tuple[str, int]] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if not {"image", "group", "fold"} <= set(reader.fieldnames or ()):
            problems.append(f"{path.name}: the columns must be image, group and fold")
            return {}
        for row in reader:
            if not (row["fold"] or "").isdecimal() or int(row["fold"]) >= FOLDS:
                problems.append(f"{path.name}: fold of {row['image']} is {row['fold']!r}, allowed are 0 to {FOLDS - 1}")
            else:
                splits[row["image"]] = (row["group"], int(row["fold"]))
    folds_of_group: dict[str, set[int]] = {}
    for group, fold in splits.values():
        folds_of_group.setdefault(group, set()).add(fold)
    for group, folds in folds_of_group.items():
        if len(folds) > 1:
            problems.append(f"{path.name}: group {group} is in folds {sorted(folds)}, so look-alikes would leak")
    return splits


def _read_via(path: Path, width: int, height: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Boxes (fractions) and class ids of one VIA file.

    Raises:
        AnnotationError: one line a problem, without the file's name.
    """
    try:
        regions: Any = json.loads(path.read_bytes())["annotation"]["regions"]
        regions = list(regions.values()) if isinstance(regions, dict) else list(regions)
    except (ValueError, KeyError, TypeError) as error:
        raise AnnotationError(f"not a VIA file with annotation.regions ({type(error).__name__})") from error
    boxes: list[list[float]] = []
    class_ids: list[int] = []
    problems: list[str] = []
    for number, region in enumerate(regions, start=1):
        try:
            shape = region["shape_attributes"]
            label = region["region_attributes"]["label"]
            x, y, w, h = (float(shape[key]) for key in ("x", "y", "width", "height"))
        except (KeyError, TypeError, ValueError):
            problems.append(f"region {number}: needs x, y, width, height and a label")
            continue
        if label not in CLASS_IDS:
            problems.append(f"region {number}: label {label!r}, allowed are {', '.join(CLASS_IDS)}")
        elif not (w > 0 and h > 0):
            problems.append(f"region {number}: the box is empty ({w:g} x {h:g} pixels)")
        elif min(x, y) < -EDGE_TOLERANCE or x + w > width + EDGE_TOLERANCE or y + h > height + EDGE_TOLERANCE:
            problems.append(f"region {number}: the box {x:g},{y:g} {w:g}x{h:g} leaves the photo of {width}x{height}")
        else:
            boxes.append([y / height, x / width, (y + h) / height, (x + w) / width])
            class_ids.append(CLASS_IDS[label])
    if problems:
        raise AnnotationError("\n".join(problems))
    box_array = np.clip(np.array(boxes, np.float32).reshape(-1, 4), 0.0, 1.0)
    return box_array, np.array(class_ids, np.int32)
