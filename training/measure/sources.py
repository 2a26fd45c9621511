"""Figures by source (data set) and their mean, in which every source counts equally."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.detector.detections import Detections
from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.measure.assessment import Assessment, Figure, assess
from training.measure.metrics import RESAMPLES, Floats, best_f1, interval, match_class
from training.measure.verdicts import PhotoVerdicts

NEED_EVERY_CLASS = ("mAP@.5:.95", "mAP@.5", "class right on found teeth")
"""Figures that the mean leaves out for a source without boxes of one of the classes."""


UNNAMED = "all"
"""The source of photos of no named data set, which an earlier version prepared."""


def positions_by_source(photos: Sequence[AnnotatedPhoto]) -> dict[str, list[int]]:
    """Positions of the photos of each source, sources in order of their names."""
    found = defaultdict(list)
    for position, photo in enumerate(photos):
        found[photo.source or UNNAMED].append(position)
    return dict(sorted(found.items()))


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are not None; None if all are."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


@dataclass(frozen=True, slots=True)
class SourcesAssessment:
    """The assessment of each source, by its name; at least one."""

    sources: Mapping[str, Assessment]

    @property
    def only(self) -> Assessment | None:
        """The assessment, if there is one source."""
        return next(iter(self.sources.values())) if len(self.sources) == 1 else None

    @property
    def score_threshold(self) -> float:
        return next(iter(self.sources.values())).score_threshold

    @property
    def figures(self) -> dict[str, Figure]:
        """The means of the sources that give a figure; the figures themselves of a single source."""
        if self.only is not None:
            return self.only.figures
        return {name: self._mean(name) for name in next(iter(self.sources.values())).figures}

    def of(self, name: str) -> dict[str, Figure]:
        """One figure of each source, empty where the mean leaves it out."""
        return {
            source: Figure(None, None) if name in NEED_EVERY_CLASS and not _has_every_class(one) else one.figures[name]
            for source, one in self.sources.items()
        }

    def draws(self, name: str) -> Floats:
        """The mean over the resamples, float64 `[resamples]`; NaN where a source cannot give it."""
        known = [self.sources[source].draws[name] for source, one in self.of(name).items() if one.value is not None]
        return np.mean(known, axis=0) if known else np.zeros(0)

    def _mean(self, name: str) -> Figure:
        value = mean_of_known(figure.value for figure in self.of(name).values())
        return Figure(value, None if value is None else interval(self.draws(name)))

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON: a single source as `Assessment.as_dict`; of several, `sources` and their mean `figures`."""
        if self.only is not None:
            return self.only.as_dict()
        by_figure = {name: self.of(name) for name in self.figures}
        return {
            "score_threshold": self.score_threshold,
            "figures": {name: figure._asdict() for name, figure in self.figures.items()},
            "sources": {
                source: one.as_dict() | {"figures": {name: of[source]._asdict() for name, of in by_figure.items()}}
                for source, one in self.sources.items()
            },
        }


def _has_every_class(assessment: Assessment) -> bool:
    return all(assessment.figures[f"AP@.5 {name}"].value is not None for name in CLASS_IDS)


def assess_sources(
    photos: Sequence[AnnotatedPhoto],
    predictions: Sequence[Detections],
    *,
    score_threshold: float | None = None,
    of_photos: Floats | None = None,
    verdicts: PhotoVerdicts | None = None,
    resamples: int = RESAMPLES,
) -> SourcesAssessment:
    """`training.measure.assessment.assess` of each source, by default at the threshold of the highest F1 of all."""
    if score_threshold is None:
        score_threshold, _ = best_f1(match_class(photos, predictions))
    return SourcesAssessment(
        {
            source: assess(
                [photos[place] for place in places],
                [predictions[place] for place in places],
                score_threshold=score_threshold,
                of_photos=None if of_photos is None else of_photos[places],
                verdicts=None if verdicts is None else verdicts.take(places),
                resamples=resamples,
                seed=seed,
            )
            for seed, (source, places) in enumerate(positions_by_source(photos).items())
        }
    )
