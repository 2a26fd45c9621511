"""COCO: one JSON file with images, annotations and categories."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from training.data.formats.labels import FormatError, LabelledBox, PhotoLabels, stated_size


def read(name: str, content: Any) -> dict[str, PhotoLabels]:
    """Boxes are `[x, y, width, height]` in pixels; crowd annotations are not teeth and are refused."""
    problems: list[str] = []
    names = {category["id"]: str(category["name"]) for category in content["categories"]}
    found: dict[str, PhotoLabels] = {}
    of_id: dict[Any, PhotoLabels] = {}
    for image in content["images"]:
        try:
            file = PurePosixPath(str(image["file_name"]).replace("\\", "/")).name
            key = image["id"]
        except (KeyError, TypeError) as error:
            problems.append(f"an image lacks {error}")
            continue
        if file in found or key in of_id:
            problems.append(f"{file}: is in it twice")
        of_id[key] = found[file] = PhotoLabels([], stated_size(image.get("width"), image.get("height")))
    for annotation in content["annotations"]:
        where = f"annotation {annotation.get('id', '?')}"
        try:
            x, y, width, height = (float(value) for value in annotation["bbox"])
            labels, label = of_id.get(annotation["image_id"]), names.get(annotation["category_id"])
        except (KeyError, TypeError, ValueError):
            problems.append(f"{where}: needs image_id, category_id and a bbox of four numbers")
            continue
        if labels is None:
            problems.append(f"{where}: there is no image {annotation['image_id']}")
        elif label is None:
            problems.append(f"{where}: there is no category {annotation['category_id']}")
        elif annotation.get("iscrowd"):
            problems.append(f"{where}: is a crowd, allowed is one box for each tooth")
        else:
            labels.boxes.append(LabelledBox(where, x, y, width, height, label))
    if problems:
        raise FormatError("\n".join(problems))
    return found
