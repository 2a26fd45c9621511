"""YOLO: a text file per photo, one line per box; class names are in a separate file."""

import math
from pathlib import Path

from training.data.formats.labels import FormatError, LabelledBox, PhotoLabels

CLASS_FILES = ("classes.txt", "obj.names", "data.yaml", "dataset.yaml")
"""Files that may name the classes: one name per line, or `names` in YAML."""


def read(name: str, text: str, classes: list[str]) -> dict[str, PhotoLabels]:
    """Lines are `class x_center y_center width height`, fractions of the photo; a sixth number, a score, is ignored."""
    boxes: list[LabelledBox] = []
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            class_number, x, y, width, height, *_ = (float(value) for value in line.split())
            if not all(math.isfinite(value) for value in (class_number, x, y, width, height)):
                raise ValueError
        except ValueError:
            problems.append(f"{where}: needs a class and four numbers")
            continue
        if class_number != int(class_number) or not 0 <= class_number < len(classes):
            problems.append(f"{where}: the class is {class_number:g}, allowed are 0 to {len(classes) - 1}")
            continue
        label = classes[int(class_number)]
        boxes.append(LabelledBox(where, x - width / 2, y - height / 2, width, height, label, is_relative=True))
    return {name: PhotoLabels(boxes, problems=problems)}


def read_classes(path: Path) -> list[str]:
    """Class names, in the order of their numbers. Raises FormatError: the file has none."""
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix in (".yaml", ".yml"):
        import yaml

        try:
            names = (yaml.safe_load(text) or {}).get("names")
        except (yaml.YAMLError, AttributeError) as error:
            raise FormatError(f"not YAML with names: {error}") from error
        found = list(names.values()) if isinstance(names, dict) else list(names or [])
    else:
        found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise FormatError("names no class")
    return [str(name) for name in found]


def looks_like(text: str) -> bool:
    """Whether every line has five or six numbers."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    return all(len(line) in (5, 6) and all(_is_number(value) for value in line) for line in lines)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
