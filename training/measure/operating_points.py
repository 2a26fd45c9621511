"""Named score thresholds, chosen on photos that the detector was not trained on, and the curve between them.

Every point has the highest mean F1 of the sources among the thresholds within its bounds, which are on the server's
verdicts. Figures at a threshold that was chosen on the same photos are optimistic, so they are cross-fitted: each half
of the photos, by group, is counted at the threshold chosen on the other.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.data.annotations import AnnotatedPhoto
from training.measure.metrics import Floats, Matches, half_of
from training.measure.sources import positions_by_source
from training.measure.verdicts import PhotoVerdicts

MAX_CLEARED_SENSITIVE = 0.04
"""Share of a source's photos with caries that `sensitive` may call `no_caries_found`."""

MAX_SUSPECTED_SPECIFIC = 0.15
"""Share of a source's photos without caries that `specific` may suspect."""

MAX_CLEARED_BALANCED = 0.10
MAX_SUSPECTED_BALANCED = 0.35

MIN_PHOTOS_WITHOUT_CARIES = 10
"""Sources with fewer photos without caries are left out of the bounds on them."""

CURVE_THRESHOLDS = np.round(np.linspace(0.01, 0.99, 50), 2)

DEFAULT_POINT = "balanced"


@dataclass(frozen=True, slots=True)
class Goal:
    """Bounds of an operating point: the largest share, in every source, of photos with caries that are called
    `no_caries_found`, and of photos without caries that are suspected; 1 for no bound."""

    max_cleared: float = 1.0
    max_suspected: float = 1.0

    def __str__(self) -> str:
        bounds = [
            f"at most {100 * share:g} % of the photos {kind}"
            for share, kind in (
                (self.max_cleared, "with caries called no_caries_found"),
                (self.max_suspected, "without caries suspected"),
            )
            if share < 1
        ]
        return f"highest mean F1 of the sources with {' and '.join(bounds)}, in every source"


GOALS: Mapping[str, Goal] = {
    "sensitive": Goal(max_cleared=MAX_CLEARED_SENSITIVE),
    "balanced": Goal(MAX_CLEARED_BALANCED, MAX_SUSPECTED_BALANCED),
    "specific": Goal(max_suspected=MAX_SUSPECTED_SPECIFIC),
}


BOX_FIGURES = ("sensitivity", "precision", "f1", "false_positives_per_image")
PHOTO_FIGURES = ("photo_sensitivity", "photo_specificity", "photos_cleared", "not_assessable")
"""Shares of the photos with caries that are suspected, of those without caries that are not, of those with caries that
are called `no_caries_found`, and of all that are not assessable."""

CURVE_FIGURES = ("sensitivity", "false_positives_per_image", "photo_sensitivity", "photo_specificity")

Rates = dict[str, Floats | None]
"""`BOX_FIGURES` and `PHOTO_FIGURES` at `t` thresholds, float64 `[t]` each; None for one that the photos cannot give."""


def rates(matches: Sequence[Matches], verdicts: PhotoVerdicts, thresholds: Floats) -> Rates:
    """The figures of at least one photo at each threshold, `[t]`; `[photos, t]` for separate thresholds by photo."""
    of_photos = np.broadcast_to(thresholds, (len(matches), thresholds.shape[-1]))
    true, shown = np.zeros(thresholds.shape[-1]), np.zeros(thresholds.shape[-1])
    for item, wanted in zip(matches, of_photos, strict=True):
        # Scores are in descending order.
        count = np.searchsorted(-item.scores, -wanted, side="right")
        shown += count
        true += np.concatenate([[0], np.cumsum(item.correct)])[count]
    labelled = sum(item.labelled for item in matches)
    suspected = of_photos <= verdicts.suspected_to[:, None]
    cleared = of_photos > verdicts.cleared_above[:, None]
    return {
        "sensitivity": true / labelled if labelled else None,
        "precision": true / np.maximum(shown, 1),
        "f1": 2 * true / (shown + labelled) if labelled else None,
        "false_positives_per_image": (shown - true) / len(matches),
        "photo_sensitivity": _share(suspected, verdicts.has_class),
        "photo_specificity": _share(~suspected, ~verdicts.has_class),
        "photos_cleared": _share(cleared, verdicts.has_class),
        "not_assessable": (~suspected & ~cleared).mean(axis=0),
    }


def mean_rates(sources: Mapping[str, Rates]) -> Rates:
    """The mean of the sources that give a figure."""
    known = {
        name: [found for one in sources.values() if (found := one[name]) is not None]
        for name in (*BOX_FIGURES, *PHOTO_FIGURES)
    }
    return {name: np.mean(values, axis=0) if values else None for name, values in known.items()}


def _share(is_so: npt.NDArray[np.bool_], rows: npt.NDArray[np.bool_]) -> Floats | None:
    return is_so[rows].mean(axis=0) if rows.any() else None


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A named threshold with its cross-fitted figures.

    Attributes:
        is_reached: whether a threshold is within the goal's bounds on the photos that it was chosen on.
        of_photos: for each photo the threshold chosen on the other half, float64 `[n]`.
        by_source: `BOX_FIGURES` and `PHOTO_FIGURES` by source.
        mean: the means of the sources that give a figure.
        photos: their number by source.
    """

    score_threshold: float
    goal: str
    is_reached: bool
    of_photos: Floats
    by_source: Mapping[str, Mapping[str, float | None]]
    mean: Mapping[str, float | None]
    photos: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """An entry of `operating_points` in `bundle.json`."""
        return {
            # Rounded down, so that every box admitted in the measurement stays admitted.
            "score_threshold": math.floor(self.score_threshold * 10_000) / 10_000,
            **_rounded(self.mean),
            "goal": self.goal,
            "is_reached": self.is_reached,
            "by_source": {
                source: {"photos": self.photos[source], **_rounded(figures)}
                for source, figures in self.by_source.items()
            },
        }


@dataclass(frozen=True, slots=True)
class OperatingPoints:
    """The points by name, `DEFAULT_POINT` among them, and the key `curve` of `bundle.json`, of the sources with caries;
    empty without such a source."""

    points: Mapping[str, OperatingPoint]
    curve: Mapping[str, Any]

    @property
    def default(self) -> OperatingPoint:
        return self.points[DEFAULT_POINT]


def operating_points(
    photos: Sequence[AnnotatedPhoto], matches: Sequence[Matches], verdicts: PhotoVerdicts
) -> OperatingPoints:
    """The points of `GOALS` on these photos. `specific` is left out if no source has enough photos without caries."""
    sources = positions_by_source(photos)
    bounded = {
        name for name, places in sources.items() if (~verdicts.has_class[places]).sum() >= MIN_PHOTOS_WITHOUT_CARIES
    }
    halves = np.array([half_of(photo) for photo in photos], np.int64)

    def at(places: Sequence[int], thresholds: Floats) -> Rates:
        return rates([matches[place] for place in places], verdicts.take(places), thresholds)

    def choose(chosen: npt.NDArray[np.bool_], goals: Mapping[str, Goal]) -> dict[str, tuple[float, bool]]:
        """The threshold of each goal on some of the photos, and whether it is within the bounds."""
        kept = {
            name: part for name, places in sources.items() if (part := [place for place in places if chosen[place]])
        }
        scores = [matches[place].scores for places in kept.values() for place in places]
        candidates = np.unique(np.concatenate([*scores, [1.0]]))
        found = {name: at(places, candidates) for name, places in kept.items()}
        f1 = mean_rates(found)["f1"]
        f1 = np.zeros(len(candidates)) if f1 is None else f1
        return {name: _choose(goal, candidates, f1, found, bounded) for name, goal in goals.items()}

    of_all = choose(halves >= 0, GOALS)
    # Bounds that cannot be met on all photos do not count in the halves either.
    feasible = {name: goal if of_all[name][1] else Goal() for name, goal in GOALS.items()}
    of_others = choose(halves == 1, feasible), choose(halves == 0, feasible)
    points = {}
    for name, goal in GOALS.items():
        if name == "specific" and not bounded:
            continue
        threshold, is_reached = of_all[name]
        of_photos = np.array([of_others[half][name][0] for half in halves])
        by_source = {source: at(places, of_photos[places, None]) for source, places in sources.items()}
        points[name] = OperatingPoint(
            score_threshold=threshold,
            goal=str(goal),
            is_reached=is_reached,
            of_photos=of_photos,
            by_source={source: _numbers(one) for source, one in by_source.items()},
            mean=_numbers(mean_rates(by_source)),
            photos={source: len(places) for source, places in sources.items()},
        )
    with_caries = [places for places in sources.items() if verdicts.has_class[places[1]].any()]
    curves = {source: at(places, CURVE_THRESHOLDS) for source, places in with_caries}
    return OperatingPoints(points, _curves(curves) if curves else {})


def _choose(
    goal: Goal, candidates: Floats, f1: Floats, sources: Mapping[str, Rates], bounded: Collection[str]
) -> tuple[float, bool]:
    """The candidate of the highest F1 within the goal's bounds, or of all if none is; and whether one is."""
    is_within = np.ones(len(candidates), bool)
    for name, found in sources.items():
        if (cleared := found["photos_cleared"]) is not None:
            is_within &= cleared <= goal.max_cleared
        if name in bounded and (specificity := found["photo_specificity"]) is not None:
            # 1 - 0.85 is a little above 0.15.
            is_within &= np.round(1 - specificity, 9) <= goal.max_suspected
    is_reached = bool(is_within.any())
    # Of equal F1, the highest threshold.
    best = np.argmax(np.where(is_within | (not is_reached), f1, -1.0)[::-1])
    return float(candidates[::-1][best]), is_reached


def _numbers(found: Rates) -> dict[str, float | None]:
    return {name: None if values is None else float(values[0]) for name, values in found.items()}


def _rounded(figures: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else round(value, 4) for name, value in figures.items()}


def _curves(sources: Mapping[str, Rates]) -> dict[str, Any]:
    return {
        "score_thresholds": CURVE_THRESHOLDS.tolist(),
        "sources": {name: _curve(one) for name, one in sources.items()},
        "mean": _curve(mean_rates(sources)),
    }


def _curve(found: Rates) -> dict[str, list[float] | None]:
    return {name: None if (values := found[name]) is None else values.round(4).tolist() for name in CURVE_FIGURES}
