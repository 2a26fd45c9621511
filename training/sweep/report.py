"""The study's published trials: `recipes/report.csv`.

In an empty cell the base recipe's value applies. Two interpretations are ours: a pair of aspect ratios such as
"2.85 0.35" replaces the stock's 2.0 and 0.5 next to 1.0; and a base learning rate without a warm-up rate keeps the
stock's proportion between them (a third), since the warm-up rate may not exceed it.
"""

import csv
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import TrainingError

REPORT = Path(__file__).parent.parent / "recipes" / "report.csv"
STOCK_RECIPE = Path(__file__).parent.parent / "recipes" / "stock-320.toml"

WARMUP_SHARE = 1 / 3

_INTEGERS = ("input_size", "num_steps", "batch_size", "warmup_steps")
_OTHERS = ("trial", "table", "aspect_ratios", "map50", "map")
"""Columns of the report that are no keys of a recipe."""


class SweepError(TrainingError):
    """The sweep names an unknown trial, or its folder is in use."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A variation of the base recipe, `r01` to `r72` for the study's, `s0000` and so on in a search, with the study's
    mAP@.5 and mAP@.5:.95, if it gives them."""

    name: str
    changes: dict[str, Any]
    published_map50: float | None = None
    published_map: float | None = None


def read_report(path: Path = REPORT) -> list[Trial]:
    """The study's trials in its order; some rows appear twice, as published."""
    with path.open(newline="", encoding="utf-8") as file:
        return [_trial(row) for row in csv.DictReader(file)]


def choose(trials: Sequence[Trial], selection: str) -> list[Trial]:
    """The trials of a selection such as `r01,r05-r09` or `all`, in the study's order. Raises SweepError: it names an
    unknown trial."""
    if selection == "all":
        return list(trials)
    names = [trial.name for trial in trials]
    chosen: set[str] = set()
    for part in selection.split(","):
        first, _, last = part.strip().partition("-")
        for name in (first, last or first):
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
                raise SweepError(f"there is no trial {name!r}, allowed are {names[0]} to {names[-1]}; nearest: {near}")
        start, end = names.index(first), names.index(last or first)
        if end < start:
            raise SweepError(f"the range {part.strip()} runs backwards")
        chosen.update(names[start : end + 1])
    return [trial for trial in trials if trial.name in chosen]


def _trial(row: dict[str, str]) -> Trial:
    changes: dict[str, Any] = {
        key: int(text) if key in _INTEGERS else float(text) for key, text in row.items() if text and key not in _OTHERS
    }
    if row["aspect_ratios"]:
        changes["aspect_ratios"] = (1.0, *map(float, row["aspect_ratios"].split()))
    if "learning_rate_base" in changes and "warmup_learning_rate" not in changes:
        changes["warmup_learning_rate"] = changes["learning_rate_base"] * WARMUP_SHARE
    published = [float(row[column]) if row[column] else None for column in ("map50", "map")]
    return Trial(row["trial"], changes, *published)
