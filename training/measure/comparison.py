"""Two ways to judge the same photos out of fold, side by side: differences of figures, with intervals over photos."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.detector.detections import Detections
from training.data.annotations import AnnotatedPhoto
from training.measure.cross_validation import PREDICTIONS, at, read_out_of_fold
from training.measure.evaluate import main_figures, match_screened
from training.measure.metrics import bootstrap, coco_evaluation
from training.measure.score_calibration import cross_fitted, fit
from training.model.multi_scale import Sizes, sizes_text
from training.recipe import Recipe

FIGURES = (
    *("mAP@.5:.95", "mAP@.5", "AP@.5 normal", "AP@.5 caries", "best F1 caries"),
    *("FROC sensitivity at 1", "FROC sensitivity at 2", "FROC sensitivity at 4"),
    *("photo AUC", "photo sensitivity", "photo specificity", "class right on found teeth", "calibration error"),
)
"""Those of a table by sizes, see `training.measure.assessment`."""


def compare_precisions(folder: Path, folds: Sequence[int], *, sizes: Sizes | None = None) -> str:
    """What int8 costs; writes `int8.json` and returns a line for each figure.

    Args:
        folder: of a cross-validation.
        folds: which; there are int8 predictions of each.
        sizes: others than the recipe's.
    """
    of = {name: read_out_of_fold(folder, folds, name, sizes=sizes) for name in PREDICTIONS}
    photos = of["float32"].photos
    # The bundle has one calibration, which is the float32 detector's.
    calibration = fit(photos, of["float32"].predictions)
    float32, int8 = ([calibration.apply(item) for item in of[name].predictions] for name in PREDICTIONS)
    out = folder if sizes is None else folder / at(sizes)
    return _compare("int8 - float32", photos, int8, float32, out / "int8.json")


def compare_sizes(folder: Path, folds: Sequence[int], sizes: Sizes) -> str:
    """What other sizes gain, both calibrated by the other folds; writes `at_SIZE/gain.json` and returns a line
    for each figure.

    Args:
        folder: of a cross-validation.
        folds: two or more.
        sizes: at which all of them were run as well.

    Raises:
        CalibrationError: there is nothing to calibrate on.
    """
    own, other = read_out_of_fold(folder, folds), read_out_of_fold(folder, folds, sizes=sizes)
    before, after = (cross_fitted(found.photos, found.predictions) for found in (own, other))
    return _compare(f"{sizes_text(sizes)} px", own.photos, after, before, folder / at(sizes) / "gain.json")


def _compare(
    title: str, photos: Sequence[AnnotatedPhoto], first: Sequence[Detections], second: Sequence[Detections], path: Path
) -> str:
    pairs = [(coco_evaluation(photos, found), match_screened(photos, found)) for found in (first, second)]

    def differences(sample: Sequence[int]) -> dict[str, float]:
        ours, theirs = (main_figures(evaluation, matches, sample) for evaluation, matches in pairs)
        return {name: ours[name] - theirs[name] for name in ours}

    values, intervals = differences(range(len(photos))), bootstrap(len(photos), differences)
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps({name: {"value": value, "interval": intervals[name]} for name, value in values.items()}, indent=2)
        + "\n",
        encoding="utf-8",
    )
    return "".join(
        f"{title}  {name}: {value:+.4f} [{intervals[name][0]:+.4f}, {intervals[name][1]:+.4f}]\n"
        for name, value in values.items()
    )


def table_of_sizes(folder: Path, every: Sequence[Sizes | None], *, has_int8: bool) -> str:
    """The figures at several sizes side by side, and what each gains, as Markdown; also written to `sizes.md`.

    Args:
        folder: of a cross-validation whose calibrated figures were written at these sizes.
        every: the sizes of each detector; None for those of the recipe, first.
        has_int8: whether the cost of int8 was measured as well.
    """
    folders = [folder if sizes is None else folder / at(sizes) for sizes in every]
    evaluations = [_read(out / "calibrated" / "evaluation.json") for out in folders]
    own = Recipe.from_dict(evaluations[0]["recipe"]).sizes
    names = [f"{sizes_text(sizes or own)} px" for sizes in every]
    columns = [*names, *(f"{name} less {names[0]}" for name in names[1:])]
    gains = [_read(out / "gain.json") for out in folders[1:]]
    rows = ["| figure | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for name in FIGURES:
        cells = [_cell(evaluation["figures"][name]) for evaluation in evaluations]
        cells += [_cell(gain.get(name), sign="+") for gain in gains]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    costs = [_read(out / "int8.json") for out in folders] if has_int8 else []
    for name in costs[0] if costs else ():
        cells = [_cell(cost[name], sign="+") for cost in costs] + [""] * len(gains)
        rows.append(f"| int8 less float32, {name} | " + " | ".join(cells) + " |")
    text = "\n".join(rows) + "\n"
    (folder / "sizes.md").write_text(text, encoding="utf-8")
    return text


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def _cell(figure: Mapping[str, Any] | None, *, sign: str = "") -> str:
    if figure is None or figure["value"] is None:
        return ""
    low, high = figure["interval"]
    return f"{figure['value']:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"
