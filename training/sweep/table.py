"""The results of a sweep as a Markdown table and as CSV: measured beside published."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.sweep.trials import FINISHED, Outcome, ranked

FIGURES = ("mAP@.5", "mAP@.5:.95", "AP@.5 caries", "best F1 caries")

_SCALED = ("num_steps", "warmup_steps", "batch_size")


def write_results(sweep: Path, outcomes: Sequence[Outcome], heading: str) -> str:
    """Writes `results.md` and `results.csv` into the folder of the sweep and returns the Markdown.

    Args:
        sweep: the folder.
        outcomes: of all trials.
        heading: lines that say what was run on what.
    """
    rows = list(_rows(ranked(outcomes)))
    lines = [heading, ""]
    correlation = rank_correlation(outcomes)
    if correlation is not None:
        lines += [f"Spearman rank correlation of measured and published mAP@.5: {correlation:.2f}", ""]
    if rows:
        lines += ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
        lines += ["| " + " | ".join(row.values()) + " |" for row in rows]
    markdown = "\n".join(lines) + "\n"
    table = io.StringIO()
    if rows:
        writer = csv.DictWriter(table, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for name, text in (("results.md", markdown), ("results.csv", table.getvalue())):
        partial = sweep / f".{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(sweep / name)
    return markdown


def rank_correlation(outcomes: Sequence[Outcome]) -> float | None:
    """Spearman's rank correlation of measured and published mAP@.5, where at least three trials have both."""
    pairs = [
        (item.figures["mAP@.5"], item.published_map50)
        for item in outcomes
        if item.status == FINISHED and item.published_map50 is not None
    ]
    if len(pairs) < 3:
        return None
    from scipy.stats import spearmanr

    measured, published = zip(*pairs, strict=True)
    value = float(spearmanr(measured, published).statistic)
    return None if np.isnan(value) else value


def _rows(outcomes: Sequence[Outcome]) -> Any:
    for rank, item in enumerate(outcomes, start=1):
        recipe = item.recipe or {}
        yield {
            "rank": str(rank) if item.status == FINISHED else "",
            "trial": item.trial,
            "differs from the base": _changes(item.changes),
            "steps run": str(recipe.get("num_steps", "")),
            "batch run": str(recipe.get("batch_size", "")),
            **{name: f"{item.figures[name]:.3f}" if name in item.figures else "" for name in FIGURES},
            "published mAP@.5": _published(item.published_map50),
            "published mAP@.5:.95": _published(item.published_map),
            "minutes": f"{item.seconds / 60:.1f}" if item.recipe else "",
            "status": item.status + (f": {item.error}" if item.error else ""),
        }


def _changes(changes: dict[str, Any]) -> str:
    parts = []
    for key, value in changes.items():
        number = "/".join(f"{one:g}" for one in value) if isinstance(value, (list, tuple)) else f"{value:g}"
        parts.append(f"{key} {number}")
    return ", ".join(parts)


def _published(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
