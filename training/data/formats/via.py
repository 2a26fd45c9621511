"""VGG Image Annotator (VIA) 2: a JSON file for each photo, a project or annotations in one JSON file, and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from training.data.formats.labels import FormatError, LabelledBox, PhotoLabels, label_of

CSV_COLUMNS = frozenset({"filename", "region_shape_attributes", "region_attributes"})


def read_photo(name: str, content: Any) -> dict[str, PhotoLabels]:
    """The file of one photo, `{"annotation": {"regions": [...]}}`."""
    try:
        regions = content["annotation"]["regions"]
    except (KeyError, TypeError) as error:
        raise FormatError(f"not a VIA file with annotation.regions ({type(error).__name__})") from error
    return {name: PhotoLabels(_boxes(regions))}


def read_project(name: str, content: Any) -> dict[str, PhotoLabels]:
    """A project, or the annotations of one alone: a mapping of photos with `filename` and `regions`."""
    photos = content.get("_via_img_metadata", content)
    found: dict[str, PhotoLabels] = {}
    problems: list[str] = []
    for key, photo in photos.items():
        try:
            file = str(photo["filename"])
            labels = PhotoLabels(_boxes(photo["regions"]))
        except (KeyError, TypeError) as error:
            problems.append(f"{key}: needs a filename and regions ({error})")
        except FormatError as error:
            problems += [f"{photo['filename']}: {line}" for line in str(error).splitlines()]
        else:
            if file in found:
                problems.append(f"{file}: is in it twice")
            found[file] = labels
    if problems:
        raise FormatError("\n".join(problems))
    return found


def read_csv(name: str, text: str) -> dict[str, PhotoLabels]:
    """The CSV export: a line for each region, and one without a region for a photo that has none."""
    found: dict[str, PhotoLabels] = {}
    problems: list[str] = []
    for number, row in enumerate(csv.DictReader(io.StringIO(text)), start=2):
        labels = found.setdefault(row["filename"], PhotoLabels())
        try:
            shape = json.loads(row["region_shape_attributes"] or "{}")
            attributes = json.loads(row["region_attributes"] or "{}")
        except ValueError:
            problems.append(f"line {number}: the region's attributes are not JSON")
            continue
        if shape:
            try:
                labels.boxes.append(_box(f"line {number}", shape, attributes))
            except FormatError as error:
                problems.append(str(error))
    if problems:
        raise FormatError("\n".join(problems))
    return found


def _boxes(regions: Any) -> list[LabelledBox]:
    if not isinstance(regions, (list, dict)):
        raise FormatError("the regions are neither a list nor a mapping")
    entries = list(regions.values()) if isinstance(regions, dict) else regions
    boxes: list[LabelledBox] = []
    problems: list[str] = []
    for number, region in enumerate(entries, start=1):
        where = f"region {number}"
        try:
            boxes.append(_box(where, region["shape_attributes"], region["region_attributes"]))
        except (KeyError, TypeError):
            problems.append(f"{where}: needs x, y, width, height and a label")
        except FormatError as error:
            problems.append(str(error))
    if problems:
        raise FormatError("\n".join(problems))
    return boxes


def _box(where: str, shape: Mapping[str, Any], attributes: Mapping[str, Any]) -> LabelledBox:
    if shape.get("name", "rect") != "rect":
        raise FormatError(f"{where}: the shape is {shape['name']!r}, allowed is rect")
    try:
        x, y, width, height = (float(shape[key]) for key in ("x", "y", "width", "height"))
        label = label_of(attributes)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{where}: needs x, y, width, height and a label") from error
    return LabelledBox(where, x, y, width, height, label)
