"""The results of a sweep as a Markdown table and as CSV: measured and published figures."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.output import markdown_table, write_file
from training.sweep.trials import FINISHED, Outcome, ranked

FIGURES = ("mAP@.5", "mAP@.5:.95", "AP@.5 caries", "best F1 caries")


def write_results(sweep: Path, outcomes: Sequence[Outcome], heading: str) -> str:
    """Write `results.md` and `results.csv` to the folder of the sweep, and return the Markdown."""
    rows = list(_rows(ranked(outcomes)))
    markdown, table = f"{heading}\n\n", io.StringIO()
    correlation = rank_correlation(outcomes)
    if correlation is not None:
        markdown += f"Spearman rank correlation of measured and published mAP@.5: {correlation:.2f}\n\n"
    if rows:
        markdown += markdown_table(list(rows[0]), [list(row.values()) for row in rows])
        writer = csv.DictWriter(table, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_file(sweep / "results.md", markdown)
    write_file(sweep / "results.csv", table.getvalue())
    return markdown


def rank_correlation(outcomes: Sequence[Outcome]) -> float | None:
    """Spearman's rank correlation of measured and published mAP@.5; None for fewer than three trials with both."""
    pairs = [
        (item.figures["mAP@.5"], item.published_map50)
        for item in outcomes
        if item.status == FINISHED and item.published_map50 is not None
    ]
    if len(pairs) < 3:
        return None
    from scipy.stats import spearmanr

    value = float(spearmanr(*zip(*pairs, strict=True)).statistic)
    return None if np.isnan(value) else value


def _rows(outcomes: Sequence[Outcome]) -> Iterator[dict[str, str]]:
    for rank, item in enumerate(outcomes, start=1):
        recipe = item.recipe or {}
        yield {
            "rank": str(rank) if item.status == FINISHED else "",
            "trial": item.trial,
            "differs from the base": _changes(item.changes),
            "steps run": str(recipe.get("num_steps", "")),
            "batch run": str(recipe.get("batch_size", "")),
            **{name: _cell(item.figures.get(name)) for name in FIGURES},
            "published mAP@.5": _cell(item.published_map50),
            "published mAP@.5:.95": _cell(item.published_map),
            "minutes": f"{item.seconds / 60:.1f}" if item.recipe else "",
            "status": item.status + (f": {item.error}" if item.error else ""),
        }


def _changes(changes: dict[str, Any]) -> str:
    parts = []
    for key, value in changes.items():
        number = "/".join(f"{one:g}" for one in value) if isinstance(value, (list, tuple)) else f"{value:g}"
        parts.append(f"{key} {number}")
    return ", ".join(parts)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
