"""Write the figures of the shipped detector, as its bundle states them, into the tables of the documentation.

    python -m benchmarks.shipped_figures

A row that starts with a figure's label gets the value of each column with its 95 % interval; further columns stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.detector.bundle import find_bundle, read_bundle
from training.measure.verdicts import NOT_ASSESSABLE, WITH_CLEARED, WITHOUT_SUSPECTED

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "README.ko.md")
SOURCES = ("tooth-photos", "dentalai", "ahmed2025")
MEAN = "mean"


@dataclass(frozen=True, slots=True)
class Page:
    """The figures that a page must show.

    Attributes:
        labels: label of the row to name of the figure in `bundle.json`.
        columns: precision, and data set or `MEAN`.
        has_points: whether there is a row for each operating point and data set.
    """

    labels: Mapping[str, str]
    columns: tuple[tuple[str, str], ...]
    has_points: bool = False


ALL_FIGURES = (
    "F1",
    "sensitivity",
    "precision",
    "best F1 caries",
    "AP@.5 caries",
    "mAP@.5",
    "photo AUC",
    WITH_CLEARED,
    WITHOUT_SUSPECTED,
    NOT_ASSESSABLE,
    "calibration error",
)
RATES = (
    "sensitivity",
    "precision",
    "f1",
    "false_positives_per_image",
    "photos_cleared",
    "photo_specificity",
    "not_assessable",
)
"""Of an operating point."""

OF_READMES = tuple(("float32", source) for source in (MEAN, *SOURCES))

PAGES = {
    "docs/quality.md": Page({name: name for name in ALL_FIGURES}, (("int8", MEAN), *OF_READMES), has_points=True),
    "README.md": Page(
        {
            "F1, caries": "F1",
            "AP at IoU 0.5, caries": "AP@.5 caries",
            "photos with caries cleared": WITH_CLEARED,
            "photos without caries suspected": WITHOUT_SUSPECTED,
        },
        OF_READMES,
    ),
    "README.ko.md": Page(
        {
            "우식 F1": "F1",
            "우식 AP (IoU 0.5)": "AP@.5 caries",
            "우식이 있는데 소견 없음으로 판정": WITH_CLEARED,
            "우식이 없는데 의심으로 판정": WITHOUT_SUSPECTED,
        },
        OF_READMES,
    ),
}


def shipped_figures(model_store: Path, page: Page) -> dict[str, list[str]]:
    """Label of each row to the cells of the page's columns."""
    manifest = read_bundle(find_bundle(model_store), verify=False).manifest
    models = manifest["metrics"]["models"]
    columns = [models[model] if source == MEAN else models[model]["sources"][source] for model, source in page.columns]
    figures = {label: [_cell(one["figures"][name]) for one in columns] for label, name in page.labels.items()}
    if page.has_points:
        for name, point in manifest["operating_points"].items():
            for source, rates in ((MEAN, point), *((source, point["by_source"][source]) for source in SOURCES)):
                cells = ["-" if rates[rate] is None else f"{rates[rate]:.3f}" for rate in RATES]
                figures[f"`{name}`, {source}"] = [f"{point['score_threshold']:.3f}", *cells]
    return figures


def shown_figures(text: str, figures: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The cells that the tables of a page show for the labels of `figures`."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    return {label: cells[: len(figures[label])] for label, *cells in rows if label in figures}


def with_figures(text: str, figures: Mapping[str, list[str]]) -> str:
    """The page with these figures in its tables."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        label, *cells = [cell.strip() for cell in line.split("|")[1:-1]] or [""]
        if label in figures:
            cells[: len(figures[label])] = figures[label]
            lines[number] = f"| {label} | {' | '.join(cells)} |"
    return "\n".join(lines)


def _cell(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "-"
    low, high = figure["interval"]
    return f"{figure['value']:.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    """Rewrite every page."""
    for name, page in PAGES.items():
        path = ROOT / name
        figures = shipped_figures(ROOT / "model_store", page)
        path.write_text(with_figures(path.read_text(encoding="utf-8"), figures), encoding="utf-8")


if __name__ == "__main__":
    main()
