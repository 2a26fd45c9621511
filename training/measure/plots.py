"""The curves of an assessment as PNG files."""

from pathlib import Path
from typing import Any

import numpy as np

from training.data.annotations import CLASS_IDS
from training.measure.curves import FROC_RATES
from training.measure.metrics import SCREENED_CLASS
from training.measure.sources import SourcesAssessment
from training.output import plot_png, write_file

SIZE_INCHES = (5.0, 4.2)
DOTS_PER_INCH = 120


def write_plots(assessment: SourcesAssessment, out: Path) -> list[Path]:
    """Write `precision_recall.png`, `froc.png`, `roc.png`, `reliability.png` and `confusion.png`, with a curve for each
    source, to the folder."""
    plots = {
        "precision_recall": _precision_recall,
        "froc": _froc,
        "roc": _roc,
        "reliability": _reliability,
        "confusion": _confusion,
    }
    return [
        write_file(out / f"{name}.png", plot_png(draw, assessment, SIZE_INCHES, DOTS_PER_INCH))
        for name, draw in plots.items()
    ]


def _precision_recall(axes: Any, assessment: SourcesAssessment) -> None:
    for source, one in assessment.sources.items():
        # One source: a curve for each class.
        for name in (SCREENED_CLASS,) if assessment.only is None else CLASS_IDS:
            curve, value = one.precision_recall[name], one.figures[f"AP@.5 {name}"].value
            label = name if assessment.only is not None else source
            label += ", none labelled" if value is None else f", AP {value:.3f}"
            axes.plot(curve.sensitivity, curve.precision, label=label)
    axes.set(xlabel="sensitivity", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title("Precision and recall, IoU 0.5" + ("" if assessment.only is not None else f", {SCREENED_CLASS}"))
    axes.legend()


def _froc(axes: Any, assessment: SourcesAssessment) -> None:
    for source, one in assessment.sources.items():
        (line,) = axes.plot(
            one.froc.false_positives_per_image, one.froc.sensitivity, drawstyle="steps-post", label=source
        )
        axes.plot(FROC_RATES, [one.froc.at(rate) for rate in FROC_RATES], "o", color=line.get_color())
    axes.set(xlabel="false positives per photo", ylabel="sensitivity", ylim=(0, 1), title="Carious teeth found (FROC)")
    axes.set_xscale("log", base=2)
    axes.set_xlim(FROC_RATES[0] / 2, FROC_RATES[-1] * 4)
    axes.set_xticks(FROC_RATES, [f"{rate:g}" for rate in FROC_RATES])
    if assessment.only is None:
        axes.legend()


def _roc(axes: Any, assessment: SourcesAssessment) -> None:
    for source, one in assessment.sources.items():
        auc = one.photos.auc
        name = "" if assessment.only is not None else f"{source}, "
        axes.plot(*one.photos.roc(), label=f"{name}AUC -" if auc is None else f"{name}AUC {auc:.3f}")
    axes.plot([0, 1], [0, 1], ":", color="grey")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title("Photos with caries (ROC)")
    axes.legend(loc="lower right")


def _reliability(axes: Any, assessment: SourcesAssessment) -> None:
    axes.plot([0, 1], [0, 1], ":", color="grey")
    for source, one in assessment.sources.items():
        bins, error = one.reliability, one.reliability.error
        name = "" if assessment.only is not None else f"{source}, "
        axes.plot(bins.score, bins.correct, "o-", label=f"{name}error {'-' if error is None else f'{error:.3f}'}")
    axes.set(xlabel="score", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1), title="Calibration")
    axes.legend(loc="upper left")


def _confusion(axes: Any, assessment: SourcesAssessment) -> None:
    counts = np.sum([one.confusion for one in assessment.sources.values()], axis=0).astype(float)
    counts[-1, -1] = np.nan
    axes.imshow(counts, cmap="Blues")
    places = range(len(counts))
    axes.set_xticks(places, [*CLASS_IDS, "missed"])
    axes.set_yticks(places, [*CLASS_IDS, "no tooth"])
    axes.set(xlabel="detected", ylabel="labelled", title=f"Classes at score {assessment.score_threshold:.2f}")
    for row, column in zip(*np.nonzero(~np.isnan(counts)), strict=True):
        is_dark = counts[row, column] > np.nanmax(counts) / 2
        colour = "white" if is_dark else "black"
        axes.text(column, row, f"{counts[row, column]:.0f}", ha="center", va="center", color=colour)
