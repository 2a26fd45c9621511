"""Label Studio's JSON export: a list of tasks with annotations, whose rectangles are in percent of the photo.

A photo's key is its name before the upload, without the eight digits that Label Studio puts in front.
"""

import re
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from app.photo.formats import PHOTO_SUFFIXES
from training.data.formats.labels import LabelledBox, PhotoLabels, check_file, stated_size

UPLOADED = re.compile(r"^[0-9a-f]{8}-")
OF_THE_PHOTO = ("choices", "rating", "textarea", "number", "datetime", "taxonomy", "rectangle")
"""Types of results that mark no tooth: those about the photo, and rectangles that repeat a labelled one."""


def read(name: str, content: Any) -> dict[str, PhotoLabels]:
    """Tasks without exactly one annotation, or one that is the ground truth, are refused: a task that was skipped says
    nothing about its teeth."""
    problems: list[str] = []
    found: dict[str, PhotoLabels] = {}
    for number, task in enumerate(content, 1):
        where = f"task {task.get('id', number)}"
        file = _photo(task)
        if file is None:
            problems.append(f"{where}: its data names no photo, or several")
        elif file in found:
            found[file].problems.append("is listed twice")
        else:
            found[file] = _labels(task)
    check_file(problems, found)
    return found


def _photo(task: Any) -> str | None:
    """The name of the only photo in a task's data."""
    names = set()
    for value in task["data"].values():
        if isinstance(value, str):
            url = urlsplit(value)
            # Photos of a local folder are /data/local-files/?d=FOLDER/PHOTO.
            path = parse_qs(url.query).get("d", [unquote(url.path)])[0]
            name = PurePosixPath(path.replace("\\", "/")).name
            if PurePosixPath(name).suffix.lower() in PHOTO_SUFFIXES:
                names.add(UPLOADED.sub("", name) if "/upload/" in url.path else name)
    return names.pop() if len(names) == 1 else None


def _labels(task: Any) -> PhotoLabels:
    done = [annotation for annotation in task["annotations"] if not annotation.get("was_cancelled")]
    chosen = [annotation for annotation in done if annotation.get("ground_truth")] or done
    if len(chosen) != 1:
        return PhotoLabels(problems=[f"has {len(chosen)} annotations, allowed is one, or one marked as ground truth"])
    boxes: list[LabelledBox] = []
    problems: list[str] = []
    size = None
    for number, result in enumerate(chosen[0]["result"], 1):
        where, kind = f"result {number}", result.get("type")
        if kind in OF_THE_PHOTO:
            continue
        if kind != "rectanglelabels":
            problems.append(f"{where}: is of the type {kind!r}, allowed are rectangle labels")
            continue
        try:
            value = result["value"]
            x, y, width, height = (float(value[side]) / 100 for side in ("x", "y", "width", "height"))
            (label,) = value["rectanglelabels"]
        except (KeyError, TypeError, ValueError):
            problems.append(f"{where}: needs x, y, width, height and one label")
            continue
        if value.get("rotation") or result.get("image_rotation"):
            problems.append(f"{where}: is rotated, allowed are upright boxes on upright photos")
            continue
        size = stated_size(result.get("original_width"), result.get("original_height"))
        boxes.append(LabelledBox(where, x, y, width, height, str(label), is_relative=True))
    return PhotoLabels(boxes, size, problems)
