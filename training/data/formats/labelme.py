"""LabelMe: a JSON file per photo, with rectangles, or polygons of which the bounding box is taken."""

from typing import Any

from training.data.formats.labels import LabelledBox, PhotoLabels, stated_size

SHAPES = ("rectangle", "polygon")


def read(name: str, content: Any) -> dict[str, PhotoLabels]:
    """Points are `[x, y]` in pixels."""
    boxes: list[LabelledBox] = []
    problems: list[str] = []
    for number, shape in enumerate(content["shapes"], start=1):
        where = f"shape {number}"
        try:
            kind = shape.get("shape_type") or "polygon"
            xs, ys = zip(*((float(x), float(y)) for x, y in shape["points"]), strict=True)
            label = str(shape["label"])
        except (KeyError, TypeError, ValueError, AttributeError):
            problems.append(f"{where}: needs a label and points of two numbers each")
            continue
        if kind not in SHAPES:
            problems.append(f"{where}: the shape is {kind!r}, allowed are {' and '.join(SHAPES)}")
            continue
        boxes.append(LabelledBox(where, min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys), label))
    return {name: PhotoLabels(boxes, stated_size(content.get("imageWidth"), content.get("imageHeight")), problems)}
