"""COCO: one JSON file with images, annotations and categories."""

from pathlib import PurePosixPath
from typing import Any

from training.data.formats.labels import LabelledBox, PhotoLabels, check_file, stated_size


def read(name: str, content: Any) -> dict[str, PhotoLabels]:
    """Boxes are `[x, y, width, height]` in pixels; crowd annotations are refused, since one box must be one tooth."""
    problems: list[str] = []
    names = {category["id"]: str(category["name"]) for category in content["categories"]}
    found: dict[str, PhotoLabels] = {}
    by_id: dict[Any, PhotoLabels] = {}
    for image in content["images"]:
        try:
            file = PurePosixPath(str(image["file_name"]).replace("\\", "/")).name
            key = image["id"]
        except (KeyError, TypeError) as error:
            problems.append(f"an image lacks {error}")
            continue
        labels = PhotoLabels([], stated_size(image.get("width"), image.get("height")))
        if file in found:
            labels.problems.append("is listed twice")
        elif key in by_id:
            for one in (labels, by_id[key]):
                one.problems.append(f"another image has its id, {key}")
        by_id[key] = found[file] = labels
    for annotation in content["annotations"]:
        where = f"annotation {annotation.get('id', '?')}"
        owner = by_id.get(annotation.get("image_id"))
        try:
            image_id, label = annotation["image_id"], names.get(annotation["category_id"])
            x, y, width, height = (float(value) for value in annotation["bbox"])
        except (KeyError, TypeError, ValueError):
            place = problems if owner is None else owner.problems
            place.append(f"{where}: needs image_id, category_id and a bbox of four numbers")
            continue
        if owner is None:
            problems.append(f"{where}: there is no image {image_id}")
        elif label is None:
            owner.problems.append(f"{where}: there is no category {annotation['category_id']}")
        elif annotation.get("iscrowd"):
            owner.problems.append(f"{where}: is a crowd, allowed is one box for each tooth")
        else:
            owner.boxes.append(LabelledBox(where, x, y, width, height, label))
    check_file(problems, found)
    return found
