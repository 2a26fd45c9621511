"""The figures of the shipped detectors, as their bundles state them, in the tables of both READMEs.

    python -m benchmarks.shipped_figures

Every row of a figure gets the values of each bundle, float32 and int8, with their 95 % intervals; other columns stay.
"""

from __future__ import annotations

from pathlib import Path

from app.detector.bundle import list_bundles, read_bundle

ROOT = Path(__file__).parent.parent
READMES = ("README.md", "README.ko.md")
PRECISIONS = ("float32", "int8")

FIGURES = (
    "mAP@.5:.95",
    "mAP@.5",
    "AP@.5 normal",
    "AP@.5 caries",
    "best F1 caries",
    "FROC sensitivity at 2",
    "photo AUC",
    "photo sensitivity",
    "photo specificity",
    "class right on found teeth",
    "calibration error",
)
"""What a reader is told at least."""


def shipped_figures(model_store: Path) -> dict[str, list[str]]:
    """Figure to the cells of each bundle and precision, by model name."""
    models = [
        bundle.manifest["metrics"]["models"][precision]
        for bundle in (read_bundle(path, verify=False) for _, _, path in list_bundles(model_store))
        for precision in PRECISIONS
    ]
    return {name: [_cell(**model["figures"][name]) for model in models] for name in FIGURES}


def told_figures(text: str, columns: int) -> dict[str, list[str]]:
    """The same, as the tables of a page tell them in their first columns after the name."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: row[1 : 1 + columns] for row in rows if row[0] in FIGURES}


def with_figures(text: str, figures: dict[str, list[str]]) -> str:
    """The page with these figures in its tables."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        name, *cells = [cell.strip() for cell in line.split("|")[1:-1]] or [""]
        if name in figures:
            cells[: len(figures[name])] = figures[name]
            lines[number] = f"| {name} | {' | '.join(cells)} |"
    return "\n".join(lines)


def _cell(value: float, interval: list[float]) -> str:
    low, high = interval
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    """Rewrites both READMEs."""
    figures = shipped_figures(ROOT / "model_store")
    for name in READMES:
        path = ROOT / name
        path.write_text(with_figures(path.read_text(encoding="utf-8"), figures), encoding="utf-8")


if __name__ == "__main__":
    main()
