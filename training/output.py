"""Output for people and programs: files and their digests, Markdown tables, plots."""

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any


def write_file(path: Path, content: str | bytes) -> Path:
    """Replace a file in one step: an interrupted write leaves the earlier content."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content.encode() if isinstance(content, str) else content)
    return partial.replace(path)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, ending in a newline."""
    first, *others = (f"| {' | '.join(cells)} |\n" for cells in (headings, *rows))
    return f"{first}{'|---' * len(headings)}|\n{''.join(others)}"


def plot_png(draw: Callable[[Any, Any], None], subject: Any, size_inches: tuple[float, float], dpi: int) -> bytes:
    """A plot as PNG; `draw` takes Matplotlib's axes and the subject."""
    return _plot(draw, subject, size_inches, dpi=dpi, format="png", metadata={"Software": None})


def plot_svg(draw: Callable[[Any, Any], None], subject: Any, size_inches: tuple[float, float]) -> bytes:
    """The same as SVG; equal plots have equal bytes."""
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": ""}):
        return _plot(draw, subject, size_inches, format="svg", metadata={"Date": None})


def _plot(draw: Callable[[Any, Any], None], subject: Any, size_inches: tuple[float, float], **options: Any) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size_inches, layout="constrained")
    draw(figure.add_subplot(), subject)
    encoded = io.BytesIO()
    figure.savefig(encoded, **options)
    return encoded.getvalue()
