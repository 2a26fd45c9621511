"""A learning curve: one detector for each share of the training photos, all measured on the same held-out fold.

The folder of a learning curve:

    records/                        the prepared photos
    share_0.25/ ...                 the folder of one run each, with predictions.npz once its training has ended
    learning_curve.md, .json        figures by share and source
    learning_curve.png, .svg        F1 over the number of photos
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from training.cross_validation import train_held_out
from training.data.annotations import CLASS_IDS
from training.machine import this_machine
from training.measure.assessment import Figure
from training.measure.cross_fitting import cross_fit
from training.measure.metrics import RESAMPLES, SCREENED_CLASS, Floats, interval
from training.measure.out_of_fold import PREDICTIONS
from training.measure.plots import DOTS_PER_INCH, SIZE_INCHES
from training.measure.predictions import load_predictions
from training.measure.report import CROSS_FITTED, MEAN, figure_text
from training.measure.sources import SourcesAssessment, positions_by_source
from training.model.pretrained.start import Start
from training.output import markdown_table, plot_png, plot_svg, write_file
from training.recipe import Recipe
from training.run_folder import RECORDS, RunError, RunFolder

FIGURES = {"F1": "F1", "caries AP@.5": "AP@.5 caries"}
"""Headings, with the names of the figures."""


@dataclass(frozen=True, slots=True)
class Part:
    """The detector of one share: its training photos by source, its figures on the held-out photos, and why their
    scores are not calibrated, if they are not."""

    share: float
    photos: dict[str, int]
    assessment: SourcesAssessment
    not_calibrated: str = ""

    @property
    def total(self) -> int:
        return sum(self.photos.values())

    def figures(self, name: str) -> dict[str, Figure]:
        """One figure by source and, of several sources, as `MEAN`."""
        mean = {MEAN: self.assessment.figures[name]} if self.assessment.only is None else {}
        return {**self.assessment.of(name), **mean}

    def as_dict(self) -> dict[str, Any]:
        figures = {
            name: {source: one._asdict() for source, one in self.figures(name).items()} for name in FIGURES.values()
        }
        return {"share": self.share, "photos": self.photos, "not_calibrated": self.not_calibrated, "figures": figures}


def learning_curve(
    folder: Path,
    recipe: Recipe,
    shares: Sequence[float],
    *,
    fold: int,
    start: Start | None = None,
    resamples: int = RESAMPLES,
) -> str:
    """Train a detector for each share of the prepared photos, all for the same number of steps, write their figures and
    plot to the folder, and return the text.

    Raises:
        CrossValidationError, RunError: a part has another training, see `train_held_out`; RunError: the fold has no
            photo with caries.
    """
    photos = RunFolder(folder).photos_of_fold(fold)
    if not any((photo.class_ids == CLASS_IDS[SCREENED_CLASS]).any() for photo in photos):
        raise RunError(f"fold {fold} has no photo with {SCREENED_CLASS} to measure on: hold out another one")
    parts = []
    for share in shares:
        run = RunFolder(folder / f"share_{share:g}", shared_records=folder / RECORDS)
        train_held_out(run, replace(recipe, training_share=share, early_stop_after=0), fold, start)
        seen = load_predictions(run.path / PREDICTIONS["float32"])
        fitted = cross_fit(photos, [seen[photo.path.name] for photo in photos])
        drawn = {source: len(places) for source, places in positions_by_source(run.training_photos()).items()}
        parts.append(Part(share, drawn, fitted.assess(resamples), fitted.not_calibrated))
    heading = (
        f"# {recipe.model_name}, learning curve\n\n{len(photos)} photos of fold {fold}, held out from {len(parts)} "
        f"trainings of {recipe.num_steps} steps each; {this_machine()}.\n{CROSS_FITTED}\n"
    )
    return write_curve(parts, heading, folder, recipe=recipe.as_dict(), fold=fold)


def write_curve(parts: Sequence[Part], heading: str, out: Path, **facts: Any) -> str:
    """Write table, JSON and plots of the parts to the folder, and return the text; `facts` are further keys of the
    JSON."""
    gain = per_doubling(parts)
    reasons = [f"Share {one.share:g} is not calibrated: {one.not_calibrated}.\n" for one in parts if one.not_calibrated]
    text = f"{heading}{''.join(reasons)}\n{_table(parts)}"
    content = {**facts, "parts": [part.as_dict() for part in parts]}
    if gain is not None:
        name = "mean F1" if parts[0].assessment.only is None else "F1"
        text += f"\nEach doubling of the photos gave {figure_text(gain._asdict(), sign='+')} {name}.\n"
        content["f1_per_doubling"] = gain._asdict()
    write_file(out / "learning_curve.md", text)
    write_file(out / "learning_curve.json", json.dumps(content, indent=2) + "\n")
    write_file(out / "learning_curve.png", plot_png(_draw, parts, SIZE_INCHES, DOTS_PER_INCH))
    write_file(out / "learning_curve.svg", plot_svg(_draw, parts, SIZE_INCHES))
    return text


def per_doubling(parts: Sequence[Part]) -> Figure | None:
    """The slope of the least-squares line of the mean F1 over the log2 of the training photos, with its interval over
    paired resamples of the held-out photos; None unless two parts differ in photos."""
    doublings = np.log2([part.total for part in parts])
    if np.ptp(doublings) == 0:
        return None
    centred = doublings - doublings.mean()
    values = np.array([part.assessment.figures["F1"].value for part in parts], float)
    draws = np.stack([part.assessment.draws("F1") for part in parts])
    slopes: Floats = centred @ draws / (centred @ centred)
    return Figure(float(centred @ values / (centred @ centred)), interval(slopes))


def _table(parts: Sequence[Part]) -> str:
    """A row for each share and source, and one of the mean of several sources with all photos."""
    rows = []
    for part in parts:
        for source in part.figures("F1"):
            photos = part.total if source == MEAN else part.photos.get(source, 0)
            figures = (figure_text(part.figures(name)[source]._asdict()) for name in FIGURES.values())
            rows.append([f"{part.share:g}", source, str(photos), *figures])
    return markdown_table(["share", "source", "training photos", *FIGURES], rows)


def _draw(axes: Any, parts: Sequence[Part]) -> None:
    photos = [part.total for part in parts]
    for source in parts[0].figures("F1"):
        figures = [part.figures("F1")[source] for part in parts]
        values = np.array([figure.value for figure in figures], float)
        low, high = np.array([figure.interval or (np.nan, np.nan) for figure in figures]).T
        (line,) = axes.plot(photos, values, "o-", linewidth=3.5 if source == MEAN else 1.2, label=source)
        axes.fill_between(photos, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(photos, [str(count) for count in photos])
    axes.set(xlabel="training photos of all sets", ylabel=f"F1, {SCREENED_CLASS}", ylim=(0, 1), title="Learning curve")
    axes.legend(loc="lower right")
