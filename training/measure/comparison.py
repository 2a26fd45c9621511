"""Two sets of out-of-fold predictions on the same photos: differences of figures, with intervals over photos."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.detector.detections import Detections
from training.data.annotations import AnnotatedPhoto
from training.measure.assessment import main_figures
from training.measure.calibration import cross_fitted, fit
from training.measure.coco import coco_evaluation
from training.measure.metrics import bootstrap_draws, interval, match_class
from training.measure.out_of_fold import PREDICTIONS, at, read_out_of_fold
from training.measure.report import figure_text
from training.model.multi_scale import Sizes, sizes_text
from training.output import markdown_table, write_file
from training.recipe import Recipe

FIGURES = (
    *("mAP@.5:.95", "mAP@.5", "AP@.5 normal", "AP@.5 caries", "best F1 caries"),
    *("FROC sensitivity at 1", "FROC sensitivity at 2", "FROC sensitivity at 4"),
    *("photo AUC", "photo sensitivity", "photo specificity", "class right on found teeth", "calibration error"),
)
"""Rows of the table of sizes, see `training.measure.assessment`."""


def compare_precisions(folder: Path, folds: Sequence[int], *, sizes: Sizes | None = None) -> str:
    """The cost of int8: write `int8.json`, return a line for each figure."""
    float32, int8 = (read_out_of_fold(folder, folds, name, sizes=sizes) for name in PREDICTIONS)
    # The bundle has one calibration, which is the float32 detector's.
    calibration = fit(float32.photos, float32.predictions)
    before, after = ([calibration.apply(item) for item in found.predictions] for found in (float32, int8))
    return _compare("int8 - float32", float32.photos, after, before, at(folder, sizes) / "int8.json")


def compare_sizes(folder: Path, folds: Sequence[int], sizes: Sizes) -> str:
    """The gain of other input sizes, each fold calibrated on the others: write `at_SIZE/gain.json`, return a line for
    each figure. Raises CalibrationError: there is not enough to calibrate on."""
    own, other = read_out_of_fold(folder, folds), read_out_of_fold(folder, folds, sizes=sizes)
    before, after = (cross_fitted(found.photos, found.predictions) for found in (own, other))
    return _compare(f"{sizes_text(sizes)} px", own.photos, after, before, at(folder, sizes) / "gain.json")


def _compare(
    title: str, photos: Sequence[AnnotatedPhoto], after: Sequence[Detections], before: Sequence[Detections], path: Path
) -> str:
    pairs = [(coco_evaluation(photos, found), match_class(photos, found)) for found in (after, before)]

    def differences(sample: Sequence[int]) -> dict[str, float]:
        ours, theirs = (main_figures(evaluation, matches, sample) for evaluation, matches in pairs)
        both = {name: (value, theirs[name]) for name, value in ours.items()}
        return {name: np.nan if a is None or b is None else a - b for name, (a, b) in both.items()}

    draws = bootstrap_draws(len(photos), differences)
    values, intervals = differences(range(len(photos))), {name: interval(drawn) for name, drawn in draws.items()}
    path.parent.mkdir(exist_ok=True)
    figures = {name: {"value": value, "interval": intervals[name]} for name, value in values.items()}
    write_file(path, json.dumps(figures, indent=2) + "\n")
    return "".join(
        f"{title}  {name}: {value:+.4f} [{intervals[name][0]:+.4f}, {intervals[name][1]:+.4f}]\n"
        for name, value in values.items()
    )


def table_of_sizes(folder: Path, every: Sequence[Sizes | None], *, has_int8: bool) -> str:
    """The calibrated figures of a cross-validation at several input sizes side by side (the recipe's first, as None),
    the gain of each, and the cost of int8 if measured; also written to `sizes.md`."""
    folders = [at(folder, sizes) for sizes in every]
    evaluations = [_read(out / "calibrated" / "evaluation.json") for out in folders]
    own = Recipe.from_dict(evaluations[0]["recipe"]).sizes
    names = [f"{sizes_text(sizes or own)} px" for sizes in every]
    gains = [_read(out / "gain.json") for out in folders[1:]]
    rows = [
        [
            name,
            *(_cell(evaluation["figures"][name]) for evaluation in evaluations),
            *(_cell(gain.get(name), sign="+") for gain in gains),
        ]
        for name in FIGURES
    ]
    costs = [_read(out / "int8.json") for out in folders] if has_int8 else []
    for name in costs[0] if costs else ():
        cells = [_cell(cost[name], sign="+") for cost in costs]
        rows.append([f"int8 less float32, {name}", *cells, *[""] * len(gains)])
    text = markdown_table(["figure", *names, *(f"{name} less {names[0]}" for name in names[1:])], rows)
    write_file(folder / "sizes.md", text)
    return text


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def _cell(figure: dict[str, Any] | None, *, sign: str = "") -> str:
    return "" if figure is None or figure["value"] is None else figure_text(figure, sign=sign)
