"""The study's published trials: `recipes/report.csv`.

In an empty cell the base recipe's value applies. Two interpretations are ours: a pair of aspect ratios such as
"2.85 0.35" replaces the stock's 2.0 and 0.5 next to 1.0; and a base learning rate without a warm-up rate keeps the
stock's proportion between them (a third), since the warm-up rate may not exceed it.
"""

import csv
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import TrainingError

REPORT = Path(__file__).parent.parent / "recipes" / "report.csv"
STOCK_RECIPE = Path(__file__).parent.parent / "recipes" / "stock-320.toml"

WARMUP_SHARE = 1 / 3

_KEYS: dict[str, tuple[str, type]] = {
    "input": ("input_size", int),
    "num_steps": ("num_steps", int),
    "batch_size": ("batch_size", int),
    "iou_threshold": ("iou_threshold", float),
    "batch_norm_decay": ("batch_norm_decay", float),
    "batch_norm_epsilon": ("batch_norm_epsilon", float),
    "classification_weight": ("classification_weight", float),
    "localization_weight": ("localization_weight", float),
    "learning_rate_base": ("learning_rate_base", float),
    "warmup_learning_rate": ("warmup_learning_rate", float),
    "warmup_steps": ("warmup_steps", int),
    "anchor_scale": ("anchor_scale", float),
}
"""Column of the report to key of a recipe."""


class SweepError(TrainingError):
    """The sweep names an unknown trial, or its folder is in use."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A variation of the base recipe.

    Attributes:
        name: `r01` to `r72` for the study's, `s0000` and so on in a search.
        changes: keys of a recipe and their values.
        published_map50, published_map: mAP@.5 and mAP@.5:.95 of the study; None if it does not give them.
    """

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
    changes: dict[str, Any] = {key: convert(row[column]) for column, (key, convert) in _KEYS.items() if row[column]}
    if row["aspect_ratios"]:
        changes["aspect_ratios"] = (1.0, *(float(value) for value in re.split(r"\s+", row["aspect_ratios"].strip())))
    if "learning_rate_base" in changes and "warmup_learning_rate" not in changes:
        changes["warmup_learning_rate"] = changes["learning_rate_base"] * WARMUP_SHARE
    return Trial(row["trial"], changes, _number(row["map50"]), _number(row["map"]))


def _number(text: str) -> float | None:
    return float(text) if text else None
