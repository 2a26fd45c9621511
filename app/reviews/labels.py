"""What a reader says about a photo, and how two readers' boxes compare. Pure rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np

from app.detector.boxes import SAME_TOOTH_IOU, box_iou
from app.detector.detections import FloatArray
from app.errors import InvalidParameter

MAX_BOXES = 200
"""Of one record; a mouth has 32 teeth."""

MAX_NAME = 64
"""Characters of a reader's name and of a pseudonym."""

MAX_NOTE = 1000
"""Characters of a note."""

READERS = 2
"""Readings that a photo gets in blind reading."""

CARIES, NORMAL = "caries", "normal"
CLASSES = (NORMAL, CARIES)


class ReaderVerdict(StrEnum):
    """What a reader says about the photo: `carious` if a box is, `sound` if none is."""

    CARIOUS = "carious"
    SOUND = "sound"
    NOT_ASSESSABLE = "not_assessable"


class View(StrEnum):
    """What a photo shows; `occlusal` is of the biting surfaces."""

    FRONT = "front"
    SIDE = "side"
    OCCLUSAL = "occlusal"
    CLOSE = "close"


class State(StrEnum):
    """Where a photo is: it needs a reading, its readings differ, or its labels are agreed."""

    WAITING = "waiting"
    DISPUTED = "disputed"
    DONE = "done"


class LabelledBox(NamedTuple):
    """A tooth as a reader marked it, corners in pixels of the upright photo."""

    class_name: str
    xmin: float
    ymin: float
    xmax: float
    ymax: float

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LabelledBox:
        """A box in the form of the API, `{"class": ..., "box": {"xmin": ...}}`."""
        return cls(values["class"], *(values["box"][name] for name in ("xmin", "ymin", "xmax", "ymax")))

    def as_dict(self) -> dict[str, Any]:
        return {"class": self.class_name, "box": dict(zip(self._fields[1:], self[1:], strict=True))}


@dataclass(frozen=True, slots=True)
class Labels:
    """A verdict and the boxes behind it. Teeth without a box are not carious."""

    verdict: ReaderVerdict
    boxes: tuple[LabelledBox, ...] = ()

    @classmethod
    def from_json(cls, verdict: str, boxes: Iterable[Mapping[str, Any]]) -> Labels:
        """Labels as the store has them."""
        return cls(ReaderVerdict(verdict), tuple(map(LabelledBox.from_dict, boxes)))

    def of_class(self, class_name: str) -> list[LabelledBox]:
        return [box for box in self.boxes if box.class_name == class_name]

    def check(self, width: int, height: int) -> None:
        """Check the labels of a photo of this size.

        Raises:
            InvalidParameter: there are too many boxes, one is outside the photo or empty, or they contradict the
                verdict.
        """
        if len(self.boxes) > MAX_BOXES:
            raise InvalidParameter(f"the record has {len(self.boxes)} boxes; at most {MAX_BOXES} are accepted")
        for number, box in enumerate(self.boxes, 1):
            if not (0 <= box.xmin < box.xmax <= width and 0 <= box.ymin < box.ymax <= height):
                corners = ", ".join(f"{value:g}" for value in box[1:])
                raise InvalidParameter(
                    f"box {number} is {corners}; it must have an area and lie within 0, 0, {width}, {height}"
                )
        carious = len(self.of_class(CARIES))
        if self.verdict is ReaderVerdict.CARIOUS and not carious:
            raise InvalidParameter("the verdict is carious; it needs a box of the class caries")
        if self.verdict is ReaderVerdict.SOUND and carious:
            raise InvalidParameter(f"the verdict is sound; it must have no box of the class caries and has {carious}")
        if self.verdict is ReaderVerdict.NOT_ASSESSABLE and self.boxes:
            raise InvalidParameter(f"the verdict is not_assessable; it must have no boxes and has {len(self.boxes)}")


def corners(boxes: Sequence[LabelledBox]) -> FloatArray:
    """float32 `[n, 4]`, each `[ymin, xmin, ymax, xmax]` in pixels."""
    rows = [[box.ymin, box.xmin, box.ymax, box.xmax] for box in boxes]
    return np.array(rows, np.float32).reshape(-1, 4)


def matches(first: Sequence[LabelledBox], second: Sequence[LabelledBox], iou: float) -> Iterator[tuple[int, int]]:
    """Positions of the boxes that show the same tooth, each box once, the best overlaps first."""
    overlaps = box_iou(corners(first), corners(second))
    while overlaps.size:
        row, column = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
        if overlaps[row, column] < iou:
            return
        yield int(row), int(column)
        overlaps[row, :] = overlaps[:, column] = -1


def agreed(readings: Sequence[Labels]) -> Labels | None:
    """The labels that the readings share; None if they differ, or if there are none.

    They differ in the verdict, or if a tooth that one marks as carious is not carious to another. Boxes of the same
    tooth become their mean. Sound teeth that only one reader marked stay.
    """
    if not readings:
        return None
    first, *others = readings
    return first if not others else _agreed_by_two(first, agreed(others))


def _agreed_by_two(first: Labels, second: Labels | None) -> Labels | None:
    if second is None or first.verdict is not second.verdict:
        return None
    pairs = dict(matches(first.boxes, second.boxes, SAME_TOOTH_IOU))
    merged = []
    for position, box in enumerate(first.boxes):
        other = second.boxes[pairs[position]] if position in pairs else None
        if CARIES in (box.class_name, other and other.class_name) and (not other or other.class_name != box.class_name):
            return None
        if other:
            middle = [round((one + two) / 2, 1) for one, two in zip(box[1:], other[1:], strict=True)]
            merged.append(LabelledBox(box.class_name, *middle))
        else:
            merged.append(box)
    left = [box for position, box in enumerate(second.boxes) if position not in pairs.values()]
    if any(box.class_name == CARIES for box in left):
        return None
    return Labels(first.verdict, (*merged, *left))
