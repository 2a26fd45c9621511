"""The curves of an assessment as PNG files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from training.data.annotations import CLASS_IDS
from training.measure.assessment import Assessment
from training.measure.curves import FROC_RATES

SIZE_INCHES = (5.0, 4.2)
DOTS_PER_INCH = 120


def write_plots(assessment: Assessment, out: Path) -> list[Path]:
    """Writes `precision_recall.png`, `froc.png`, `roc.png`, `reliability.png` and `confusion.png` to the folder."""
    plots: dict[str, Callable[[Any, Assessment], None]] = {
        "precision_recall": _precision_recall,
        "froc": _froc,
        "roc": _roc,
        "reliability": _reliability,
        "confusion": _confusion,
    }
    return [_write(out / f"{name}.png", draw, assessment) for name, draw in plots.items()]


def _write(path: Path, draw: Callable[[Any, Assessment], None], assessment: Assessment) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    draw(figure.add_subplot(), assessment)
    partial = path.with_suffix(".partial")
    figure.savefig(partial, format="png", metadata={"Software": None})
    return partial.replace(path)


def _precision_recall(axes: Any, assessment: Assessment) -> None:
    for name, curve in assessment.precision_recall.items():
        value = assessment.figures[f"AP@.5 {name}"][0]
        label = f"{name}, none labelled" if value is None else f"{name}, AP {value:.3f}"
        axes.plot(curve.sensitivity, curve.precision, label=label)
    axes.set(
        xlabel="sensitivity", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title="Precision and recall, IoU 0.5"
    )
    axes.legend()


def _froc(axes: Any, assessment: Assessment) -> None:
    curve = assessment.froc
    axes.plot(curve.false_positives_per_image, curve.sensitivity, drawstyle="steps-post")
    axes.plot(FROC_RATES, [curve.at(rate) for rate in FROC_RATES], "o")
    axes.set(xlabel="false positives per photo", ylabel="sensitivity", ylim=(0, 1), title="Carious teeth found (FROC)")
    axes.set_xscale("log", base=2)
    axes.set_xlim(FROC_RATES[0] / 2, FROC_RATES[-1] * 4)
    axes.set_xticks(FROC_RATES, [f"{rate:g}" for rate in FROC_RATES])


def _roc(axes: Any, assessment: Assessment) -> None:
    false_positive_rate, sensitivity = assessment.photos.roc()
    auc = assessment.photos.auc
    axes.plot(false_positive_rate, sensitivity, label="AUC -" if auc is None else f"AUC {auc:.3f}")
    axes.plot([0, 1], [0, 1], ":", color="grey")
    axes.set(
        xlabel="1 - specificity", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1.02), title="Photos with caries (ROC)"
    )
    axes.legend(loc="lower right")


def _reliability(axes: Any, assessment: Assessment) -> None:
    bins = assessment.calibration
    axes.plot([0, 1], [0, 1], ":", color="grey")
    axes.plot(bins.score, bins.correct, "o-")
    error = "-" if bins.error is None else f"{bins.error:.3f}"
    axes.set(
        xlabel="score",
        ylabel="share that is right",
        xlim=(0, 1),
        ylim=(0, 1),
        title=f"Calibration, expected error {error}",
    )


def _confusion(axes: Any, assessment: Assessment) -> None:
    counts = assessment.confusion.astype(float)
    counts[-1, -1] = np.nan
    axes.imshow(counts, cmap="Blues")
    places = range(len(counts))
    axes.set_xticks(places, [*CLASS_IDS, "missed"])
    axes.set_yticks(places, [*CLASS_IDS, "no tooth"])
    axes.set(xlabel="detected", ylabel="labelled", title=f"Classes at score {assessment.score_threshold:.2f}")
    for row in places:
        for column in places:
            if not np.isnan(counts[row, column]):
                dark = counts[row, column] > np.nanmax(counts) / 2
                text = f"{counts[row, column]:.0f}"
                axes.text(column, row, text, ha="center", va="center", color="white" if dark else "black")
