"""Two detectors on the same photos: differences of figures by source and of their means, with paired intervals."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.detector.detections import Detections
from training.data.annotations import AnnotatedPhoto
from training.measure.assessment import Figure
from training.measure.calibration import cross_fitted, fit
from training.measure.metrics import Floats, interval
from training.measure.out_of_fold import PREDICTIONS, at, read_out_of_fold
from training.measure.report import MEAN, figure_text, figures_table
from training.measure.sources import SourcesAssessment, assess_sources
from training.model.multi_scale import Sizes, sizes_text
from training.output import markdown_table, write_file
from training.recipe import Recipe

MAIN_FIGURES = ("mAP@.5:.95", "mAP@.5", "AP@.5 normal", "AP@.5 caries", "best F1 caries")

FIGURES = (
    *MAIN_FIGURES,
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
    differences = difference(assess_sources(photos, after), assess_sources(photos, before))[MEAN]
    path.parent.mkdir(exist_ok=True)
    write_file(path, json.dumps({name: one._asdict() for name, one in differences.items()}, indent=2) + "\n")
    return "".join(
        f"{title}  {name}: {value:+.4f} [{interval[0]:+.4f}, {interval[1]:+.4f}]\n"
        for name in MAIN_FIGURES
        for value, interval in [differences[name]]
        if value is not None and interval is not None
    )


def difference(after: SourcesAssessment, before: SourcesAssessment) -> dict[str, dict[str, Figure]]:
    """The differences of the figures of two detectors on the same photos, by source and, as `MEAN`, of the means, with
    95 % intervals over paired resamples; no value where a detector lacks the figure."""
    names = [name for name in after.figures if name in before.figures]
    by_source = {
        source: {
            name: _difference(
                (after.of(name)[source], one.draws.get(name)),
                (before.of(name)[source], before.sources[source].draws.get(name)),
            )
            for name in names
        }
        for source, one in after.sources.items()
    }
    means = {
        name: _difference((after.figures[name], after.draws(name)), (before.figures[name], before.draws(name)))
        for name in names
    }
    return {**by_source, MEAN: means}


def _difference(after: tuple[Figure, Floats | None], before: tuple[Figure, Floats | None]) -> Figure:
    (ours, our_draws), (theirs, their_draws) = after, before
    if ours.value is None or theirs.value is None or our_draws is None or their_draws is None:
        return Figure(None, None)
    return Figure(ours.value - theirs.value, interval(our_draws - their_draws))


def write_difference(after: SourcesAssessment, before: SourcesAssessment, heading: str, out: Path) -> str:
    """Write `difference` to `comparison.json` and `comparison.md` in the folder `out`, and return the text."""
    differences = difference(after, before)
    columns = {
        source: {"figures": {name: one._asdict() for name, one in of_source.items()}}
        for source, of_source in differences.items()
        if source != MEAN or after.only is None
    }
    text = f"{heading}\n\n{figures_table(columns, sign='+')}"
    write_file(out / "comparison.md", text)
    write_file(out / "comparison.json", json.dumps(columns, indent=2) + "\n")
    return text


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
