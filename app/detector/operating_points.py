"""The score thresholds that a bundle offers, and the figures measured at each."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, TypeVar

T = TypeVar("T")

POINT_NAME = re.compile(r"[a-z][a-z0-9_-]*")
"""Allowed names of operating points."""

Share = float | None
"""0 to 1; None if not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFigures:
    """The figures on one source's photos at one threshold, see `OperatingPoint`; `photos` is their number."""

    photos: int | None
    sensitivity: Share
    precision: Share
    f1: Share
    false_positives_per_image: float | None
    photo_sensitivity: Share
    photo_specificity: Share
    photos_cleared: Share
    not_assessable: Share


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A score threshold, and a detector's figures there: the mean of the sources. None if not measured.

    Attributes:
        score_threshold: 0 to 1; boxes of the screened class below it are not shown.
        max_boxes: at most this many boxes are shown.
        sensitivity: share of carious teeth found.
        false_positives_per_image: boxes shown that match no carious tooth, per photo.
        measured_on: description of the photos.
        name: by which callers choose it; None if the bundle names none.
        precision, f1: of the boxes shown.
        photo_sensitivity: share of photos with caries that are suspected.
        photo_specificity: share of photos without caries that are not suspected.
        photos_cleared: share of photos with caries that are called `no_caries_found`.
        not_assessable: share of photos.
        goal: what the threshold was chosen for.
        is_reached: whether it was reached.
        by_source: figures by data set.
    """

    score_threshold: float
    max_boxes: int
    sensitivity: Share
    false_positives_per_image: float | None
    measured_on: str
    name: str | None = None
    precision: Share = None
    f1: Share = None
    photo_sensitivity: Share = None
    photo_specificity: Share = None
    photos_cleared: Share = None
    not_assessable: Share = None
    goal: str | None = None
    is_reached: bool | None = None
    by_source: Mapping[str, SourceFigures] = field(default_factory=dict)

    def applied(self, threshold: float | None, max_boxes: int | None) -> "OperatingPoint":
        """This point with a caller's own threshold, which has no name, and box limit; None leaves them unchanged."""
        point = self if max_boxes is None else replace(self, max_boxes=max_boxes)
        if threshold is None:
            return point
        if threshold == self.score_threshold:
            return replace(point, name=None)
        return OperatingPoint(threshold, point.max_boxes, None, None, "not measured")


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveFigures:
    """Figures, see `OperatingPoint`, at each threshold of a curve; None if the source lacks photos without caries."""

    sensitivity: tuple[float, ...]
    false_positives_per_image: tuple[float, ...]
    photo_sensitivity: tuple[float, ...]
    photo_specificity: tuple[float, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Figures over ascending score thresholds, by source and as the mean of the sources."""

    score_thresholds: tuple[float, ...]
    sources: Mapping[str, CurveFigures]
    mean: CurveFigures


def read_operating_points(manifest: Mapping[str, Any]) -> tuple[OperatingPoint, dict[str, OperatingPoint]]:
    """The default operating point of a manifest, and all named ones.

    Raises:
        KeyError, ValueError: names the key that is missing or wrong.
    """
    default = _point(_Object(manifest["operating_point"], "operating_point"))
    named = {}
    for name, values in _Object(manifest.get("operating_points", {}), "operating_points").objects().items():
        if not POINT_NAME.fullmatch(name):
            raise ValueError(f"{values.key}: the name must match {POINT_NAME.pattern}")
        named[name] = replace(_point(values, default), name=name)
    if default.name is None:
        return default, named
    point = named.setdefault(default.name, default)
    if point.score_threshold != default.score_threshold:
        raise ValueError(
            f"operating_point.score_threshold differs from operating_points.{default.name}.score_threshold"
        )
    return point, named


def read_curve(manifest: Mapping[str, Any]) -> Curve | None:
    """The curve of a manifest, if it has one; same errors as `read_operating_points`."""
    if "curve" not in manifest:
        return None
    curve = _Object(manifest["curve"], "curve")
    thresholds = curve.numbers("score_thresholds", None)
    if not thresholds or any(low >= high for low, high in pairwise(thresholds)):
        raise ValueError("curve.score_thresholds: the thresholds must be in ascending order")
    sources = {name: _along(figures, len(thresholds)) for name, figures in curve.object("sources").objects().items()}
    return Curve(score_thresholds=thresholds, sources=sources, mean=_along(curve.object("mean"), len(thresholds)))


class _Object:
    """A JSON object under a dotted key; its values are checked when they are read."""

    def __init__(self, value: object, key: str) -> None:
        if not isinstance(value, dict):
            raise ValueError(f"{key}: {value!r} is not an object")
        self.values: dict[str, Any] = value
        self.key = key

    def required(self, name: str) -> Any:
        if name not in self.values:
            raise KeyError(f"{self.key}.{name}")
        return self.values[name]

    def object(self, name: str) -> "_Object":
        return _Object(self.required(name), f"{self.key}.{name}")

    def objects(self) -> "dict[str, _Object]":
        return {name: self.object(name) for name in self.values}

    def optional(self, name: str, kind: type[T]) -> T | None:
        value = self.values.get(name)
        if value is not None and not isinstance(value, kind):
            raise ValueError(f"{self.key}.{name}: {value!r} is not of type {kind.__name__}")
        return value

    def number(self, name: str, high: float = 1) -> float | None:
        """From 0 to `high`; None if it is missing or null."""
        value = self.values.get(name)
        return None if value is None else self._checked(name, value, high)

    def numbers(self, name: str, length: int | None, high: float = 1) -> tuple[float, ...]:
        values = self.required(name)
        if not isinstance(values, list) or length not in (None, len(values)):
            raise ValueError(f"{self.key}.{name}: it must be a list{f' of {length} numbers' if length else ''}")
        return tuple(self._checked(name, value, high) for value in values)

    def threshold(self) -> float:
        return self._checked("score_threshold", self.required("score_threshold"), 1)

    def _checked(self, name: str, value: Any, high: float) -> float:
        if type(value) not in (int, float) or not (0 <= value <= high and math.isfinite(value)):
            raise ValueError(f"{self.key}.{name}: {value!r} is not a number from 0{f' to {high}' if high == 1 else ''}")
        return float(value)


def _point(values: _Object, default: OperatingPoint | None = None) -> OperatingPoint:
    """The point; values shared by all points are taken from `default`."""
    for name in ("sensitivity", "false_positives_per_image"):
        values.required(name)
    sources = values.object("by_source").objects() if "by_source" in values.values else {}
    return OperatingPoint(
        score_threshold=values.threshold(),
        max_boxes=int(values.required("max_boxes") if default is None else default.max_boxes),
        measured_on=str(values.required("measured_on") if default is None else default.measured_on),
        name=values.optional("name", str),
        goal=values.optional("goal", str),
        is_reached=values.optional("is_reached", bool),
        by_source={name: _source(figures) for name, figures in sources.items()},
        **_figures(values),
    )


def _source(values: _Object) -> SourceFigures:
    photos = values.number("photos", math.inf)
    return SourceFigures(photos=None if photos is None else int(photos), **_figures(values))


def _figures(values: _Object) -> dict[str, float | None]:
    of_photos = ("photo_sensitivity", "photo_specificity", "photos_cleared", "not_assessable")
    count = values.number("false_positives_per_image", math.inf)
    return {name: values.number(name) for name in ("sensitivity", "precision", "f1", *of_photos)} | {
        "false_positives_per_image": count
    }


def _along(values: _Object, length: int) -> CurveFigures:
    """Figures at each of `length` thresholds."""
    specificity = values.required("photo_specificity")
    return CurveFigures(
        sensitivity=values.numbers("sensitivity", length),
        false_positives_per_image=values.numbers("false_positives_per_image", length, math.inf),
        photo_sensitivity=values.numbers("photo_sensitivity", length),
        photo_specificity=None if specificity is None else values.numbers("photo_specificity", length),
    )
