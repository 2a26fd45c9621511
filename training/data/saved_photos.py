"""The photos that were prepared, kept as they were: later steps of a run read them without reading the data anew."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.data.annotations import AnnotatedPhoto, AnnotationError


def write_splits(photos: Sequence[AnnotatedPhoto], path: Path) -> None:
    """Writes `folds.csv`: beside the photos it keeps their groups and folds when others join."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("image", "group", "fold"))
        writer.writerows((photo.path.name, photo.group, photo.fold) for photo in photos)


def save_photos(photos: Sequence[AnnotatedPhoto], path: Path) -> None:
    """Writes what `load_photos` reads: every photo's absolute path and sha256, its boxes, group and fold."""
    entries = [_entry(photo) for photo in photos]
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


def photos_sha256(photos: Sequence[AnnotatedPhoto]) -> str:
    """What tells a set of photos from another: their names and contents, boxes, classes and folds, but not where they
    lie nor in which order they come."""
    return _entries_sha256([_entry(photo) for photo in photos])


def saved_photos_sha256(path: Path) -> str:
    """The same of photos as they were saved, whatever became of their files."""
    return _entries_sha256(json.loads(path.read_text(encoding="utf-8")))


def _entry(photo: AnnotatedPhoto) -> dict[str, Any]:
    return {
        "path": str(photo.path.resolve()),
        "sha256": _sha256(photo.path),
        "width": photo.width,
        "height": photo.height,
        "boxes": photo.boxes.tolist(),
        "class_ids": photo.class_ids.tolist(),
        "group": photo.group,
        "fold": photo.fold,
    }


def _entries_sha256(entries: Sequence[dict[str, Any]]) -> str:
    told = sorted(
        [Path(one["path"]).name, one["sha256"], one["boxes"], one["class_ids"], one["fold"]] for one in entries
    )
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
