"""A detector measured on annotated photos in every way that counts, with 95 % intervals by bootstrap over photos."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.detector.detections import Detections
from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.measure.curves import (
    FROC_RATES,
    Calibration,
    Froc,
    PhotoScores,
    PrecisionRecall,
    calibration,
    confusion,
    froc,
    photo_scores,
    precision_recall,
)
from training.measure.evaluate import SCREENED_CLASS
from training.measure.metrics import (
    at_threshold,
    average_precisions,
    best_f1,
    bootstrap,
    coco_evaluation,
    coco_figures,
    match,
)

Figures = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Assessment:
    """What was measured.

    Attributes:
        score_threshold: where the figures at a threshold are taken.
        coco: the 12 COCO numbers.
        figures: name to value and 95 % interval, both None where the photos cannot give the figure.
        precision_recall: by class name.
        froc, calibration: of the screened class.
        photos: the photos' scores of the screened class.
        confusion: see `training.measure.curves.confusion`, summed over photos.
    """

    score_threshold: float
    coco: dict[str, float]
    figures: dict[str, tuple[float | None, tuple[float, float] | None]]
    precision_recall: dict[str, PrecisionRecall]
    froc: Froc
    calibration: Calibration
    photos: PhotoScores
    confusion: npt.NDArray[np.int64]

    def as_dict(self) -> dict[str, Any]:
        """Figures without the curves, ready for JSON."""
        return {
            "score_threshold": self.score_threshold,
            "coco": self.coco,
            "figures": {name: {"value": value, "interval": span} for name, (value, span) in self.figures.items()},
            "confusion": {"classes": [*CLASS_IDS, "none"], "counts": self.confusion.tolist()},
        }


def assess(
    photos: Sequence[AnnotatedPhoto],
    predictions: Sequence[Detections],
    *,
    score_threshold: float | None = None,
    resamples: int = 1000,
) -> Assessment:
    """Measures the predictions against the labels.

    Args:
        photos: at least one.
        predictions: everything that the detector saw, photo by photo.
        score_threshold: of the screened class; that of the highest F1 on these photos if None.
        resamples: of the bootstrap.
    """
    evaluation = coco_evaluation(photos, predictions)
    by_class = {
        name: [match(photo, found, class_id) for photo, found in zip(photos, predictions, strict=True)]
        for name, class_id in CLASS_IDS.items()
    }
    screened = by_class[SCREENED_CLASS]
    threshold = best_f1(screened)[0] if score_threshold is None else score_threshold
    scores = photo_scores(screened)
    confusions = np.stack(
        [confusion(photo, found, threshold) for photo, found in zip(photos, predictions, strict=True)]
    )

    def figures(sample: Sequence[int]) -> Figures:
        chosen = [screened[position] for position in sample]
        counts = at_threshold(chosen, threshold)
        curve = froc(chosen)
        sensitivities = [curve.at(rate) for rate in FROC_RATES]
        matched = confusions[list(sample)].sum(axis=0)[:-1, :-1]
        of_photos = scores.take(sample)

        def of_labels(value: float) -> float | None:
            return value if counts.labelled else None

        precisions = average_precisions(evaluation, sample)
        return {
            **{name: None if math.isnan(value) else value for name, value in precisions.items()},
            f"best F1 {SCREENED_CLASS}": of_labels(best_f1(chosen)[1].f1),
            "sensitivity": of_labels(counts.sensitivity),
            "precision": counts.precision,
            "F1": of_labels(counts.f1),
            "false positives per photo": counts.false_positives_per_image,
            **{
                f"FROC sensitivity at {rate:g}": of_labels(value)
                for rate, value in zip(FROC_RATES, sensitivities, strict=True)
            },
            "FROC mean sensitivity": of_labels(float(np.mean(sensitivities))),
            "photo AUC": of_photos.auc,
            "photo sensitivity": of_photos.sensitivity(threshold),
            "photo specificity": of_photos.specificity(threshold),
            "class right on found teeth": float(np.trace(matched) / matched.sum()) if matched.sum() else None,
            "calibration error": calibration(chosen).error,
        }

    return Assessment(
        score_threshold=threshold,
        coco=coco_figures(evaluation),
        figures=with_intervals(len(photos), figures, resamples),
        precision_recall={name: precision_recall(matches) for name, matches in by_class.items()},
        froc=froc(screened),
        calibration=calibration(screened),
        photos=scores,
        confusion=confusions.sum(axis=0),
    )


def with_intervals(
    photos: int, figures: Any, resamples: int
) -> dict[str, tuple[float | None, tuple[float, float] | None]]:
    """Each figure with its interval; resamples that cannot give a figure, such as those without a sound photo, do not
    count towards its interval."""
    values: Figures = figures(range(photos))

    def numbers(sample: Sequence[int]) -> dict[str, float]:
        drawn = figures(sample).items()
        return {name: np.nan if value is None else value for name, value in drawn if values[name] is not None}

    intervals = bootstrap(photos, numbers, resamples=resamples)
    return {name: (value, None if value is None else intervals[name]) for name, value in values.items()}


def markdown(assessment: Assessment, heading: str) -> str:
    """The figures as a text: tables of figures, of COCO's numbers and of labelled against detected class."""
    rows = ["| figure | value | 95 % interval |", "|---|---|---|"]
    for name, (value, span) in assessment.figures.items():
        interval = "" if span is None else f"{span[0]:.3f} to {span[1]:.3f}"
        rows.append(f"| {name} | {'-' if value is None else f'{value:.3f}'} | {interval} |")
    coco = ["| " + " | ".join(assessment.coco) + " |", "|" + "---|" * len(assessment.coco)]
    coco.append("| " + " | ".join(f"{value:.3f}" for value in assessment.coco.values()) + " |")
    columns = [*CLASS_IDS, "missed"]
    counts = ["| labelled \\ detected | " + " | ".join(columns) + " |", "|" + "---|" * (len(columns) + 1)]
    for name, row in zip([*CLASS_IDS, "no tooth"], assessment.confusion, strict=True):
        cells = [str(int(count)) for count in row]
        if name == "no tooth":
            cells[-1] = ""
        counts.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(
        [
            heading,
            "",
            f"Sensitivity, precision, F1, false positives and the table of classes are taken at score "
            f"{assessment.score_threshold:.4f} of `{SCREENED_CLASS}`; boxes match from IoU 0.5 on.",
            "",
            *rows,
            "",
            "The 12 COCO numbers:",
            "",
            *coco,
            "",
            *counts,
            "",
        ]
    )
