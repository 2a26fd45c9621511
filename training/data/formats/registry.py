"""Which format a label file is in: told by its content, not by its name."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.formats import coco, labelme, via, voc, yolo
from training.data.formats.labels import FormatError, PhotoLabels

SPLITS = "folds.csv"
"""The only CSV file that never holds labels."""

LABEL_SUFFIXES = frozenset({".json", ".csv", ".xml", ".txt"})


@dataclass(frozen=True, slots=True)
class Format:
    """A format.

    Attributes:
        title: as people call it.
        is_per_photo: whether there is a file for each photo, whose name is the photo's.
        read: takes the name of the file without suffix, its parsed content and the classes of YOLO.
    """

    title: str
    is_per_photo: bool
    read: Callable[[str, Any, list[str]], dict[str, PhotoLabels]]


FORMATS: dict[str, Format] = {
    "via": Format("VGG Image Annotator, a JSON file for each photo", True, lambda n, c, _: via.read_photo(n, c)),
    "via-project": Format("VGG Image Annotator 2 project (JSON)", False, lambda n, c, _: via.read_project(n, c)),
    "via-csv": Format("VGG Image Annotator 2 CSV", False, lambda n, c, _: via.read_csv(n, c)),
    "coco": Format("COCO JSON", False, lambda n, c, _: coco.read(n, c)),
    "voc": Format("Pascal VOC XML", True, lambda n, c, _: voc.read(n, c)),
    "labelme": Format("LabelMe JSON", True, lambda n, c, _: labelme.read(n, c)),
    "yolo": Format("YOLO text", True, yolo.read),
}


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A file that may hold labels.

    Attributes:
        path: where it lies.
        format: a key of `FORMATS`, or None if it is none of them.
        content: what its format's reader takes.
        problem: why it cannot be read, empty if it can.
    """

    path: Path
    format: str | None
    content: Any
    problem: str = ""


def find_label_files(folder: Path) -> list[LabelFile]:
    """Every file below a folder that may hold labels, in order; hidden files and what lists classes or folds is not."""
    paths = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.suffix.lower() in LABEL_SUFFIXES
        and path.name not in (SPLITS, *yolo.CLASS_FILES)
        and not any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)
    ]
    return [_inspect(path) for path in paths]


def _inspect(path: Path) -> LabelFile:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        return LabelFile(path, None, None, f"is not UTF-8 text ({type(error).__name__})")
    match path.suffix.lower():
        case ".xml":
            return LabelFile(path, "voc", text)
        case ".csv":
            header = next(csv.reader(io.StringIO(text)), [])
            return LabelFile(path, "via-csv" if set(header) >= via.CSV_COLUMNS else None, text)
        case ".txt":
            return LabelFile(path, "yolo" if yolo.looks_like(text) else None, text)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        return LabelFile(path, None, None, f"is not JSON ({error})")
    return LabelFile(path, _json_format(content), content)


def _json_format(content: Any) -> str | None:
    if not isinstance(content, dict):
        return None
    if "annotation" in content:
        return "via"
    if isinstance(content.get("shapes"), list):
        return "labelme"
    if all(isinstance(content.get(key), list) for key in ("images", "annotations", "categories")):
        return "coco"
    photos = content.get("_via_img_metadata", content)
    if isinstance(photos, dict) and photos:
        entries = list(photos.values())
        if all(isinstance(entry, dict) and {"filename", "regions"} <= entry.keys() for entry in entries):
            return "via-project"
    return "via-project" if "_via_img_metadata" in content else None


def read_label_file(file: LabelFile, classes: list[str]) -> dict[str, PhotoLabels]:
    """The labels in a file of a known format.

    Raises:
        FormatError: it is not as its format wants.
    """
    assert file.format is not None
    try:
        return FORMATS[file.format].read(file.path.stem, file.content, classes)
    except (AttributeError, KeyError, TypeError) as error:
        raise FormatError(f"not {FORMATS[file.format].title} ({type(error).__name__}: {error})") from error
