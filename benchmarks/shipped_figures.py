"""Write the figures of the shipped detectors, as their bundles state them, into the tables of the documentation.

    python -m benchmarks.shipped_figures

A row that starts with a figure's label gets the value of each bundle with its 95 % interval; further columns stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.detector.bundle import list_bundles, read_bundle

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "README.ko.md")


@dataclass(frozen=True, slots=True)
class Page:
    """The figures that a page must show.

    Attributes:
        labels: label of the row to name of the figure in `bundle.json`.
        precisions: the columns for each bundle.
    """

    labels: Mapping[str, str]
    precisions: tuple[str, ...]


ALL_FIGURES = (
    "mAP@.5",
    "AP@.5 normal",
    "AP@.5 caries",
    "best F1 caries",
    "photo AUC",
    "photo sensitivity",
    "photo specificity",
    "calibration error",
)

PAGES = {
    "docs/quality.md": Page({name: name for name in ALL_FIGURES}, ("float32", "int8")),
    "README.md": Page(
        {
            "mAP at IoU 0.5": "mAP@.5",
            "best F1, caries": "best F1 caries",
            "photo sensitivity": "photo sensitivity",
            "photo specificity": "photo specificity",
        },
        ("float32",),
    ),
    "README.ko.md": Page(
        {
            "mAP (IoU 0.5)": "mAP@.5",
            "우식 F1 최고값": "best F1 caries",
            "사진 단위 민감도": "photo sensitivity",
            "사진 단위 특이도": "photo specificity",
        },
        ("float32",),
    ),
}


def shipped_figures(model_store: Path, page: Page) -> dict[str, list[str]]:
    """Label of each row to the cells of every bundle, by model name, in the page's precisions."""
    models = [
        bundle.manifest["metrics"]["models"][precision]
        for bundle in (read_bundle(path, verify=False) for _, _, path in list_bundles(model_store))
        for precision in page.precisions
    ]
    return {label: [_cell(**model["figures"][name]) for model in models] for label, name in page.labels.items()}


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


def _cell(value: float, interval: list[float]) -> str:
    low, high = interval
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    """Rewrite every page."""
    for name, page in PAGES.items():
        path = ROOT / name
        figures = shipped_figures(ROOT / "model_store", page)
        path.write_text(with_figures(path.read_text(encoding="utf-8"), figures), encoding="utf-8")


if __name__ == "__main__":
    main()
