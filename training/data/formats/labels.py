"""What a label file says of one photo, as it says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class FormatError(ValueError):
    """A label file is not as its format wants; one line a problem, without the file's name."""


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """A box as it was drawn.

    Attributes:
        where: which one in its file, for messages, such as `region 3`.
        x, y: left and upper edge.
        width, height: in the same unit: pixels, or fractions of the photo where `is_relative`.
        label: its class by name.
        is_relative: whether the numbers are fractions.
    """

    where: str
    x: float
    y: float
    width: float
    height: float
    label: str
    is_relative: bool = False


@dataclass(frozen=True, slots=True)
class PhotoLabels:
    """The boxes of a photo, and width and height in pixels where the format states them."""

    boxes: list[LabelledBox] = field(default_factory=list)
    size: tuple[int, int] | None = None


LABEL_ATTRIBUTES = ("label", "class", "name", "type")
"""Names under which annotators keep the class of a region, in this order; else the only attribute there is counts."""


def label_of(attributes: Mapping[str, Any]) -> str:
    """The class among a region's attributes.

    Raises:
        ValueError: there is none, or it cannot be told which one it is.
    """
    for name in LABEL_ATTRIBUTES:
        if name in attributes:
            return str(attributes[name])
    if len(attributes) != 1:
        raise ValueError(f"no attribute is called {', '.join(LABEL_ATTRIBUTES)}")
    return str(next(iter(attributes.values())))


def stated_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Width and height as a file states them; None where it states none, or 0."""
    try:
        size = int(width), int(height)
    except (TypeError, ValueError):
        return None
    return size if min(size) > 0 else None
