"""The figures of a detector on annotated photos, with 95 % intervals by bootstrap over photos."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from app.detector.detections import Detections
from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.measure import curves
from training.measure.coco import average_precisions, coco_evaluation, coco_figures
from training.measure.metrics import (
    RESAMPLES,
    SCREENED_CLASS,
    Counts,
    Floats,
    Matches,
    at_threshold,
    best_f1,
    bootstrap_draws,
    interval,
    match_class,
)
from training.measure.verdicts import PhotoVerdicts


class Figure(NamedTuple):
    """A figure and its 95 % interval, both None if the photos cannot give it."""

    value: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Assessment:
    """All figures by name and COCO's 12 numbers, the precision-recall curves by class name, the other curves of the
    screened class, and `training.measure.curves.confusion` summed over photos. `draws` are the figures over the
    resamples, float64 `[resamples]`."""

    score_threshold: float
    photo_count: int
    coco: dict[str, float]
    figures: dict[str, Figure]
    draws: dict[str, Floats]
    precision_recall: dict[str, curves.PrecisionRecall]
    froc: curves.Froc
    reliability: curves.Reliability
    photos: curves.PhotoScores
    confusion: npt.NDArray[np.int64]

    def as_dict(self) -> dict[str, Any]:
        """Figures without the curves, ready for JSON."""
        return {
            "photos": self.photo_count,
            "score_threshold": self.score_threshold,
            "coco": self.coco,
            "figures": {name: figure._asdict() for name, figure in self.figures.items()},
            "confusion": {"classes": [*CLASS_IDS, "none"], "counts": self.confusion.tolist()},
        }


def assess(
    photos: Sequence[AnnotatedPhoto],
    predictions: Sequence[Detections],
    *,
    score_threshold: float | None = None,
    of_photos: Floats | None = None,
    verdicts: PhotoVerdicts | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Assessment:
    """Compare the predictions on at least one photo with the labels.

    Args:
        score_threshold: of the screened class; that of the highest F1 on these photos if None.
        of_photos: a separate threshold for each photo, `[n]`, for cross-fitted figures at `score_threshold`.
        verdicts: for the shares of photos by verdict, which are left out if None.
        seed: of the resamples.
    """
    evaluation = coco_evaluation(photos, predictions)
    by_class = {name: match_class(photos, predictions, name) for name in CLASS_IDS}
    screened = by_class[SCREENED_CLASS]
    threshold = best_f1(screened)[0] if score_threshold is None else score_threshold
    scores = curves.photo_scores(screened)
    thresholds = np.full(len(photos), threshold) if of_photos is None else of_photos
    counted = [at_threshold([item], at) for item, at in zip(screened, thresholds, strict=True)]
    boxes = np.array([(item.true, item.shown, item.labelled) for item in counted]).reshape(-1, 3)
    confusions = np.stack(
        [curves.confusion(*one) for one in zip(photos, predictions, thresholds.tolist(), strict=True)]
    )

    def figures(sample: Sequence[int]) -> dict[str, float | None]:
        rows = list(sample)
        chosen = [screened[position] for position in rows]
        true, shown, labelled = boxes[rows].sum(axis=0).tolist()
        counts = Counts(true, shown, labelled, len(rows))
        curve = curves.froc(chosen)
        sensitivities = [curve.at(rate) for rate in curves.FROC_RATES]
        matched = confusions[rows].sum(axis=0)[:-1, :-1]
        of_sample = scores.take(rows)

        def of_labels(value: float) -> float | None:
            return value if counts.labelled else None

        return {
            **main_figures(evaluation, screened, sample),
            "sensitivity": of_labels(counts.sensitivity),
            "precision": counts.precision,
            "F1": of_labels(counts.f1),
            "false positives per photo": counts.false_positives_per_image,
            **{
                f"FROC sensitivity at {rate:g}": of_labels(value)
                for rate, value in zip(curves.FROC_RATES, sensitivities, strict=True)
            },
            "FROC mean sensitivity": of_labels(float(np.mean(sensitivities))),
            "photo AUC": of_sample.auc,
            "photo sensitivity": of_sample.sensitivity(thresholds[rows]),
            "photo specificity": of_sample.specificity(thresholds[rows]),
            "class right on found teeth": float(np.trace(matched) / matched.sum()) if matched.sum() else None,
            "calibration error": curves.reliability(chosen).error,
            **({} if verdicts is None else verdicts.take(rows).shares(thresholds[rows])),
        }

    values, draws = with_draws(len(photos), figures, resamples, seed)
    return Assessment(
        score_threshold=threshold,
        photo_count=len(photos),
        coco=coco_figures(evaluation),
        figures=values,
        draws=draws,
        precision_recall={name: curves.precision_recall(matches) for name, matches in by_class.items()},
        froc=curves.froc(screened),
        reliability=curves.reliability(screened),
        photos=scores,
        confusion=confusions.sum(axis=0),
    )


def main_figures(evaluation: Any, matches: Sequence[Matches], sample: Sequence[int]) -> dict[str, float | None]:
    """Average precisions of a `coco_evaluation` and the best F1 of the screened class's matches over a resample of
    photos; None for a figure that it cannot give, see `training.measure.coco.average_precisions`."""
    _, best = best_f1([matches[position] for position in sample])
    precisions = average_precisions(evaluation, sample)
    return {
        **{name: None if math.isnan(value) else value for name, value in precisions.items()},
        f"best F1 {SCREENED_CLASS}": best.f1 if best.labelled else None,
    }


def with_draws(
    photos: int,
    figures: Callable[[Sequence[int]], dict[str, float | None]],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[dict[str, Figure], dict[str, Floats]]:
    """Each figure over all photos, with its interval over the resamples that give it, and the resamples' figures, NaN
    where they cannot give it; `figures` takes positions of photos, with repetitions."""
    values = figures(range(photos))

    def numbers(sample: Sequence[int]) -> dict[str, float]:
        drawn = figures(sample).items()
        return {name: np.nan if value is None else value for name, value in drawn if values[name] is not None}

    draws = bootstrap_draws(photos, numbers, resamples=resamples, seed=seed)
    intervals = {name: interval(drawn) for name, drawn in draws.items()}
    return {name: Figure(value, intervals.get(name)) for name, value in values.items()}, draws
