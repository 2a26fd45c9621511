"""Figures as text, and the files of an assessment: `evaluation.md`, `evaluation.json` and plots."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.data.annotations import CLASS_IDS
from training.measure.assessment import Figure
from training.measure.metrics import SCREENED_CLASS
from training.measure.plots import write_plots
from training.measure.sources import SourcesAssessment
from training.measure.verdicts import NOT_ASSESSABLE, WITH_CLEARED, WITHOUT_SUSPECTED
from training.output import markdown_table, write_file

MEAN = "mean"

SAME_PHOTOS = "The score threshold was chosen on these same photos, so the figures at it are optimistic."
CROSS_FITTED = (
    "Calibration and score threshold come from these same photos, cross-fitted by group: each fifth is calibrated on "
    "the others, and each half is measured at the threshold of the other."
)


COLUMNS = {
    "caries AP@.5": "AP@.5 caries",
    "best F1": "best F1 caries",
    "F1": "F1",
    "precision": "precision",
    "recall": "sensitivity",
    WITHOUT_SUSPECTED: WITHOUT_SUSPECTED,
    WITH_CLEARED: WITH_CLEARED,
    NOT_ASSESSABLE: NOT_ASSESSABLE,
    "photo AUC": "photo AUC",
    "calibration error": "calibration error",
    "mAP@.5": "mAP@.5",
}
"""Headings of the table of sources, with the names of the figures."""


def write_assessment(assessment: SourcesAssessment, heading: str, out: Path, **facts: Any) -> str:
    """Write figures and plots to the folder `out`, created if missing, and return the text of `evaluation.md`; `facts`
    are further keys of `evaluation.json`."""
    out.mkdir(parents=True, exist_ok=True)
    text = markdown(assessment, heading)
    write_file(out / "evaluation.md", text)
    write_file(out / "evaluation.json", json.dumps({**facts, **assessment.as_dict()}, indent=2) + "\n")
    write_plots(assessment, out)
    return text


def markdown(assessment: SourcesAssessment, heading: str) -> str:
    """Tables of the sources, of all figures, of the COCO numbers and of labelled against detected class."""
    at = (
        f"Sensitivity, precision, F1, false positives and the class table are at score "
        f"{assessment.score_threshold:.4f} of `{SCREENED_CLASS}`; boxes match from IoU 0.5."
    )
    parts = [heading, sources_table(assessment), at]
    if assessment.only is not None:
        figures = [(name, *_with_interval(figure)) for name, figure in assessment.figures.items()]
        parts.append(markdown_table(["figure", "value", "95 % interval"], figures))
    else:
        parts.append("Brackets: 95 % intervals.")
        parts.append(figures_table(assessment.as_dict()["sources"] | {MEAN: assessment.as_dict()}))
    coco = [[name, *(f"{value:.3f}" for value in one.coco.values())] for name, one in assessment.sources.items()]
    parts.append("The 12 COCO numbers:")
    parts.append(markdown_table(["", *next(iter(assessment.sources.values())).coco], coco))
    for name, one in assessment.sources.items():
        rows = [
            [label, *map(str, row.tolist())] for label, row in zip([*CLASS_IDS, "no tooth"], one.confusion, strict=True)
        ]
        rows[-1][-1] = ""
        parts.append(markdown_table([f"{name}: labelled \\ detected", *CLASS_IDS, "missed"], rows))
    return "\n".join(part if part.endswith("\n") else f"{part}\n" for part in parts)


def sources_table(assessment: SourcesAssessment) -> str:
    """A row of the main figures for each source, and one of their means."""
    names = [name for name in COLUMNS.values() if name in assessment.figures]
    figures = {name: assessment.of(name) for name in names}
    rows = [
        [source, str(one.photo_count), *(_with_interval(figures[name][source])[0] for name in names)]
        for source, one in assessment.sources.items()
    ]
    if assessment.only is None:
        rows.append([MEAN, "", *(_with_interval(assessment.figures[name])[0] for name in names)])
    headings = [heading for heading, name in COLUMNS.items() if name in names]
    return markdown_table(["source", "photos", *headings], rows)


def _with_interval(figure: Figure) -> tuple[str, str]:
    value = "-" if figure.value is None else f"{figure.value:.3f}"
    return value, "" if figure.interval is None else f"{figure.interval[0]:.3f} to {figure.interval[1]:.3f}"


def figures_table(evaluations: Mapping[str, Mapping[str, Any]], *, sign: str = "") -> str:
    """A Markdown table with a row for each figure and a column for each model."""
    names = next(iter(evaluations.values()))["figures"]
    rows = [
        [name, *(figure_text(result["figures"][name], sign=sign) for result in evaluations.values())] for name in names
    ]
    return markdown_table(["figure", *evaluations], rows)


def figure_text(figure: Mapping[str, Any], *, sign: str = "") -> str:
    """`0.500 [0.400, 0.600]` from a figure as a dictionary; `-` if it has no value."""
    if figure["value"] is None:
        return "-"
    if figure["interval"] is None:
        return f"{figure['value']:{sign}.3f}"
    low, high = figure["interval"]
    return f"{figure['value']:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"
