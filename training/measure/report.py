"""Figures as text, and the files of an assessment: `evaluation.md`, `evaluation.json` and plots."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.data.annotations import CLASS_IDS
from training.measure.assessment import Assessment
from training.measure.metrics import SCREENED_CLASS
from training.measure.plots import write_plots
from training.output import markdown_table, write_file

SAME_PHOTOS = "The score threshold was chosen on these same photos, so the figures at it are optimistic."


def write_assessment(assessment: Assessment, heading: str, out: Path, **facts: Any) -> str:
    """Write figures and plots to the folder `out`, created if missing, and return the text of `evaluation.md`; `facts`
    are further keys of `evaluation.json`."""
    out.mkdir(parents=True, exist_ok=True)
    text = markdown(assessment, heading)
    write_file(out / "evaluation.md", text)
    write_file(out / "evaluation.json", json.dumps({**facts, **assessment.as_dict()}, indent=2) + "\n")
    write_plots(assessment, out)
    return text


def markdown(assessment: Assessment, heading: str) -> str:
    """Tables of the figures, of the COCO numbers and of labelled against detected class."""
    figures = [
        (
            name,
            "-" if figure.value is None else f"{figure.value:.3f}",
            "" if figure.interval is None else f"{figure.interval[0]:.3f} to {figure.interval[1]:.3f}",
        )
        for name, figure in assessment.figures.items()
    ]
    counts = [
        [name, *map(str, row.tolist())]
        for name, row in zip([*CLASS_IDS, "no tooth"], assessment.confusion, strict=True)
    ]
    counts[-1][-1] = ""
    coco = markdown_table(list(assessment.coco), [[f"{value:.3f}" for value in assessment.coco.values()]])
    return (
        f"{heading}\n\nSensitivity, precision, F1, false positives and the class table are at score "
        f"{assessment.score_threshold:.4f} of `{SCREENED_CLASS}`; boxes match from IoU 0.5.\n\n"
        f"{markdown_table(['figure', 'value', '95 % interval'], figures)}\nThe 12 COCO numbers:\n\n{coco}\n"
        + markdown_table(["labelled \\ detected", *CLASS_IDS, "missed"], counts)
    )


def figures_table(evaluations: Mapping[str, Mapping[str, Any]]) -> str:
    """A Markdown table with a row for each figure and a column for each model."""
    names = next(iter(evaluations.values()))["figures"]
    rows = [[name, *(figure_text(result["figures"][name]) for result in evaluations.values())] for name in names]
    return markdown_table(["figure", *evaluations], rows)


def figure_text(figure: Mapping[str, Any], *, sign: str = "") -> str:
    """`0.500 [0.400, 0.600]` from a figure as a dictionary; `-` if it has no value."""
    if figure["value"] is None:
        return "-"
    low, high = figure["interval"]
    return f"{figure['value']:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"
