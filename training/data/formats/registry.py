"""The format of a label file, recognized by content, not by name."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.formats import coco, label_studio, labelme, via, voc, yolo
from training.data.formats.labels import FormatError, PhotoLabels

SPLITS = "folds.csv"
"""The one CSV file that never contains labels."""

LABEL_SUFFIXES = frozenset({".json", ".csv", ".xml", ".txt"})


@dataclass(frozen=True, slots=True)
class Format:
    """Attributes: its usual name; whether each photo has a label file of the same name; its reader, which takes the
    file's name without suffix, its parsed content and YOLO's class names."""

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
    "label-studio": Format("Label Studio JSON", False, lambda n, c, _: label_studio.read(n, c)),
    "yolo": Format("YOLO text", True, yolo.read),
}


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A file that may contain labels: a key of `FORMATS`, None if it matches none; text or JSON for the format's
    reader; why it cannot be read, empty if it can."""

    path: Path
    format: str | None
    content: Any
    problem: str = ""


def find_label_files(folder: Path) -> list[LabelFile]:
    """Every file in a folder that may contain labels, in order; not hidden files, class lists or folds."""
    paths = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.suffix.lower() in LABEL_SUFFIXES
        and path.name not in (SPLITS, *yolo.CLASS_FILES)
        and not is_hidden(path, folder)
    ]
    return [_inspect(path) for path in paths]


def is_hidden(path: Path, folder: Path) -> bool:
    """Whether a file, or a folder around it, is hidden or macOS's own."""
    return any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)


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
    if isinstance(content, list):
        is_task = [isinstance(entry, dict) and {"data", "annotations"} <= entry.keys() for entry in content]
        return "label-studio" if is_task and all(is_task) else None
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
    """Labels by photo, from a file of a known format. Raises FormatError: it does not follow its format."""
    assert file.format is not None
    try:
        return FORMATS[file.format].read(file.path.stem, file.content, classes)
    except (AttributeError, KeyError, TypeError) as error:
        raise FormatError(f"not {FORMATS[file.format].title} ({type(error).__name__}: {error})") from error
