"""The prepared photos on disk (`photos.json`, `folds.csv`), for the later steps of a run."""

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.data.annotations import AnnotatedPhoto, AnnotationError
from training.output import file_sha256, write_file


def write_splits(photos: Sequence[AnnotatedPhoto], path: Path) -> None:
    """Write `folds.csv`; next to the photos it preserves their groups and folds when more photos are added."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("image", "group", "fold"))
        writer.writerows((photo.path.name, photo.group, photo.fold) for photo in photos)


def save_photos(photos: Sequence[AnnotatedPhoto], path: Path) -> None:
    """Write path, SHA-256, boxes, group, fold and source of every photo, for `load_photos`."""
    write_file(path, json.dumps([_entry(photo) for photo in photos], indent=1) + "\n")


def load_photos(path: Path, *, check_files: bool = True) -> list[AnnotatedPhoto]:
    """The saved photos. Raises AnnotationError, unless their files are not checked: photos were changed or removed
    since; all are listed."""
    photos: list[AnnotatedPhoto] = []
    problems: list[str] = []
    for entry in json.loads(path.read_text(encoding="utf-8")):
        file = Path(entry["path"])
        if check_files and not file.is_file():
            problems.append(f"{file}: it was removed after it was prepared")
        elif check_files and file_sha256(file) != entry["sha256"]:
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
                entry.get("source", ""),
                np.array(entry["weights"], np.float32) if "weights" in entry else None,
            )
        )
    if problems:
        raise AnnotationError("\n".join(problems))
    return photos


def photos_sha256(photos: Sequence[AnnotatedPhoto]) -> str:
    """Digest of the photos' names, contents, boxes, classes and folds, independent of their folder and order."""
    return _entries_sha256([_entry(photo) for photo in photos])


def saved_photos_sha256(path: Path) -> str:
    """`photos_sha256` of saved photos, without reading their files."""
    return _entries_sha256(json.loads(path.read_text(encoding="utf-8")))


def _entry(photo: AnnotatedPhoto) -> dict[str, Any]:
    return {
        "path": str(photo.path.resolve()),
        "sha256": file_sha256(photo.path),
        "width": photo.width,
        "height": photo.height,
        "boxes": photo.boxes.tolist(),
        "class_ids": photo.class_ids.tolist(),
        "group": photo.group,
        "fold": photo.fold,
        "source": photo.source,
        **({} if photo.weights is None else {"weights": photo.weights.tolist()}),
    }


def _entries_sha256(entries: Sequence[dict[str, Any]]) -> str:
    identity = sorted(
        [Path(one["path"]).name, one["sha256"], one["boxes"], one["class_ids"], one["fold"]] for one in entries
    )
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()
