"""VGG Image Annotator (VIA) 2: a JSON file per photo, a project or its annotations as JSON, and CSV."""

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from training.data.formats.labels import FormatError, LabelledBox, PhotoLabels, check_file, label_of

CSV_COLUMNS = frozenset({"filename", "region_shape_attributes", "region_attributes"})


def read_photo(name: str, content: Any) -> dict[str, PhotoLabels]:
    """The file of one photo, `{"annotation": {"regions": [...]}}`."""
    try:
        regions = content["annotation"]["regions"]
    except (KeyError, TypeError) as error:
        raise FormatError(f"not a VIA file with annotation.regions ({type(error).__name__})") from error
    return {name: _photo_labels(regions)}


def read_project(name: str, content: Any) -> dict[str, PhotoLabels]:
    """A project, or its annotations alone: a mapping of photos with `filename` and `regions`."""
    photos = content.get("_via_img_metadata", content)
    found: dict[str, PhotoLabels] = {}
    problems: list[str] = []
    for key, photo in photos.items():
        try:
            file, regions = str(photo["filename"]), photo["regions"]
        except (KeyError, TypeError) as error:
            problems.append(f"{key}: needs a filename and regions ({error})")
            continue
        try:
            labels = _photo_labels(regions)
        except FormatError as error:
            labels = PhotoLabels(problems=[str(error)])
        if file in found:
            labels.problems.append("is listed twice")
        found[file] = labels
    check_file(problems, found)
    return found


def read_csv(name: str, text: str) -> dict[str, PhotoLabels]:
    """The CSV export: one line per region, and a line without a region for a photo that has none."""
    found: dict[str, PhotoLabels] = {}
    for number, row in enumerate(csv.DictReader(io.StringIO(text)), start=2):
        labels = found.setdefault(row["filename"], PhotoLabels())
        try:
            shape = json.loads(row["region_shape_attributes"] or "{}")
            attributes = json.loads(row["region_attributes"] or "{}")
        except ValueError:
            labels.problems.append(f"line {number}: the region's attributes are not JSON")
            continue
        if shape:
            try:
                labels.boxes.append(_box(f"line {number}", shape, attributes))
            except FormatError as error:
                labels.problems.append(str(error))
    return found


def _photo_labels(regions: Any) -> PhotoLabels:
    if not isinstance(regions, (list, dict)):
        raise FormatError("the regions are neither a list nor a mapping")
    labels = PhotoLabels()
    for number, region in enumerate(regions.values() if isinstance(regions, dict) else regions, start=1):
        where = f"region {number}"
        try:
            labels.boxes.append(_box(where, region["shape_attributes"], region["region_attributes"]))
        except (KeyError, TypeError):
            labels.problems.append(f"{where}: needs x, y, width, height and a label")
        except FormatError as error:
            labels.problems.append(str(error))
    return labels


def _box(where: str, shape: Mapping[str, Any], attributes: Mapping[str, Any]) -> LabelledBox:
    if shape.get("name", "rect") != "rect":
        raise FormatError(f"{where}: the shape is {shape['name']!r}, allowed is rect")
    try:
        x, y, width, height = (float(shape[key]) for key in ("x", "y", "width", "height"))
        label = label_of(attributes)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{where}: needs x, y, width, height and a label") from error
    return LabelledBox(where, x, y, width, height, label)
