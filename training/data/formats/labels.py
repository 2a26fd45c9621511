"""The labels of one photo as a label file states them, not yet checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class FormatError(ValueError):
    """A label file does not follow its format; one line per problem, without the file's name."""


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """A box as drawn: its place in the file, for messages, such as `region 3`; left and top edge, width and height in
    pixels, or in fractions of the photo if `is_relative`; the name of its class."""

    where: str
    x: float
    y: float
    width: float
    height: float
    label: str
    is_relative: bool = False


@dataclass(frozen=True, slots=True)
class PhotoLabels:
    """Labels of one photo: the boxes that could be read; width and height in pixels, if the format states them; why the
    other boxes could not be read, one line each, without the file's name."""

    boxes: list[LabelledBox] = field(default_factory=list)
    size: tuple[int, int] | None = None
    problems: list[str] = field(default_factory=list)


def check_file(problems: list[str], found: Mapping[str, PhotoLabels]) -> None:
    """Raise FormatError, listing the photos' problems too, if there are problems that concern no single photo."""
    if problems:
        of_photos = [f"{name}: {line}" for name, labels in found.items() for line in labels.problems]
        raise FormatError("\n".join([*problems, *of_photos]))


LABEL_ATTRIBUTES = ("label", "class", "name", "type")
"""Attributes that may name a region's class, in order of preference; otherwise its only attribute does."""


def label_of(attributes: Mapping[str, Any]) -> str:
    """The class among a region's attributes. Raises ValueError: no attribute, or none of several, names it."""
    for name in LABEL_ATTRIBUTES:
        if name in attributes:
            return str(attributes[name])
    if len(attributes) != 1:
        raise ValueError(f"no attribute is called {', '.join(LABEL_ATTRIBUTES)}")
    return str(next(iter(attributes.values())))


def stated_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Width and height as a file states them; None if missing or 0."""
    try:
        size = int(width), int(height)
    except (TypeError, ValueError):
        return None
    return size if min(size) > 0 else None
