"""Where a cross-validated detector goes wrong: photo by photo, by kind of photo, and tooth by tooth.

Written to the folder:

    verdicts.md           what the server would say of the photos
    dispersion.md         whether the errors on one photo go together
    photos.csv            every photo, those first whose labels as a whole are contradicted most
    by_kind.md            figures by photo size, and by the kinds that a table gives, such as the view of the mouth
    misses.csv, .png      the carious teeth that were missed by most
    labels.csv, .png      the labels that are contradicted most

The pictures show the photos themselves: they are shared only where these may be.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.detector.detections import Detections
from app.photo.decoding import decode
from app.photo.quality import assess_quality
from app.screening import Verdict, screen
from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.errors import TrainingError
from training.explore.sheets import contact_sheet, tooth_in_place
from training.measure.assessment import assess
from training.measure.cross_validation import OutOfFold
from training.measure.dispersion import dispersion_table, excess
from training.measure.evaluate import SCREENED_CLASS, match_screened, operating_point
from training.measure.metrics import Matches, at_threshold
from training.measure.opinions import detector_opinion
from training.measure.score_calibration import CalibrationError, cross_fitted

MISSES, LABELS = 30, 50
"""Teeth in each list."""

SIZES = (200, 320, 640)
"""Pixels of the longer side at which one kind of photo ends."""

FEWEST = 10
"""Photos of a kind from which on intervals are given: of fewer, a resample may show no carious tooth at all."""

FIGURES = ("mAP@.5", "AP@.5 caries", "F1", "sensitivity", "precision", "class right on found teeth")
"""By kind, see `training.measure.assessment`."""


class ReviewError(TrainingError):
    """The table of kinds cannot be used."""


@dataclass(frozen=True, slots=True)
class JudgedTooth:
    """A labelled tooth and what was seen of it.

    Attributes:
        photo: the photo.
        row: of the tooth's label in it.
        caries: probability of caries, given that it is a tooth, 0 to 1; None where no box overlaps it by half.
    """

    photo: AnnotatedPhoto
    row: int
    caries: float | None

    @property
    def is_carious(self) -> bool:
        """As labelled."""
        return bool(self.photo.class_ids[self.row] == CLASS_IDS[SCREENED_CLASS])

    @property
    def area(self) -> float:
        """Share of the photo."""
        ymin, xmin, ymax, xmax = self.photo.boxes[self.row].tolist()
        return float((ymax - ymin) * (xmax - xmin))

    @property
    def says(self) -> str:
        """The probability in two digits, or that the tooth was not found."""
        return "not found" if self.caries is None else f"{self.caries:.2f}"


def review(found: OutOfFold, out: Path, *, kinds: Path | None = None, resamples: int = 1000) -> str:
    """Writes verdicts, figures and both lists of teeth, and returns verdicts and figures as a text.

    Args:
        found: photos and what was seen on them. Each fold is calibrated by the others; scores stay as they are where
            there is one fold, or nothing to calibrate on.
        out: made if missing.
        kinds: a CSV file with a column `image` and one for each way to tell photos apart; every photo is in it.
        resamples: of the bootstrap.

    Raises:
        ReviewError: a photo is not in the table of kinds.
        PhotoError: a photo cannot be read any more.
    """
    groups = [("longer side", [_size(photo) for photo in found.photos])]
    if kinds is not None:
        groups += read_kinds(kinds, found.photos)
    try:
        scored, note = cross_fitted(found.photos, found.predictions), ""
    except CalibrationError as error:
        scored, note = found.predictions, f"Not calibrated: {error}.\n\n"
    answers = _verdicts_table(verdicts(found.photos, found.predictions, scored))
    matches = match_screened(found.photos, scored)
    spread = dispersion_table(matches, [photo.group for photo in found.photos])
    figures = by_kind(found.photos, scored, groups, resamples=resamples)
    teeth = judged_teeth(found.photos, scored)
    out.mkdir(parents=True, exist_ok=True)
    (out / "verdicts.md").write_text(note + answers, encoding="utf-8")
    (out / "dispersion.md").write_text(note + spread, encoding="utf-8")
    (out / "by_kind.md").write_text(note + figures, encoding="utf-8")
    _write_photos(found.photos, matches, out / "photos.csv")
    _write_teeth(worst_misses(teeth)[:MISSES], out / "misses")
    _write_teeth(contradicted(teeth)[:LABELS], out / "labels")
    return f"{note}{answers}\n{spread}\n{figures}"


def read_kinds(path: Path, photos: Sequence[AnnotatedPhoto]) -> list[tuple[str, list[str]]]:
    """The kinds of these photos: each column's name, and what it says of each photo.

    Raises:
        ReviewError: see `review`.
    """
    try:
        # A byte order mark, as spreadsheets write it, is no part of the first column's name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReviewError(f"{path} cannot be read as CSV in UTF-8: {error}") from error
    by_image = {row.get("image"): row for row in rows}
    missing = [photo.path.name for photo in photos if photo.path.name not in by_image]
    if missing:
        raise ReviewError(f"{path} says nothing of {len(missing)} photos, such as {missing[0]}")
    names = [name for name in rows[0] if name != "image"] if rows else []
    return [(name, [by_image[photo.path.name][name] for photo in photos]) for name in names]


def verdicts(
    photos: Sequence[AnnotatedPhoto], seen: Sequence[Detections], scored: Sequence[Detections]
) -> dict[str, dict[Verdict, int]]:
    """How many photos with and without labelled caries get which verdict of the server, at the one operating point of
    all photos.

    Args:
        photos: labelled; they are read.
        seen: what was seen on them.
        scored: the same, calibrated.

    Raises:
        PhotoError: a photo cannot be read any more.
    """
    threshold, _ = operating_point(photos, match_screened(photos, scored))
    screened = CLASS_IDS[SCREENED_CLASS]
    labelled, clean = f"{SCREENED_CLASS} labelled", "none labelled"
    counts = {kind: dict.fromkeys(Verdict, 0) for kind in (labelled, clean)}
    for photo, before, after in zip(photos, seen, scored, strict=True):
        quality = assess_quality(decode(photo.path.read_bytes()).pixels)
        answer = screen(after, quality, seen=before, screened_class_id=screened, score_threshold=threshold)
        counts[labelled if (photo.class_ids == screened).any() else clean][answer.verdict] += 1
    return counts


def _verdicts_table(counts: dict[str, dict[Verdict, int]]) -> str:
    rows = ["| photos | " + " | ".join(Verdict) + " |", "|---" * (1 + len(Verdict)) + "|"]
    rows += [f"| {kind} | " + " | ".join(map(str, of_kind.values())) + " |" for kind, of_kind in counts.items()]
    return "\n".join(rows) + "\n"


def by_kind(
    photos: Sequence[AnnotatedPhoto],
    predictions: Sequence[Detections],
    groups: Iterable[tuple[str, Sequence[str]]],
    *,
    resamples: int,
) -> str:
    """A Markdown table: a row for each kind of photo, its figures at the one operating point of all photos, with 95 %
    intervals by bootstrap over photos.

    Args:
        photos: labelled.
        predictions: what was seen on them.
        groups: what tells photos apart, and the kind of each photo.
        resamples: of the bootstrap.
    """
    threshold, _ = operating_point(photos, match_screened(photos, predictions))
    rows = [
        f"At a score of {SCREENED_CLASS} of {threshold:.3f}, the best F1's over all {len(photos)} photos.\n",
        "| photos | number | teeth | labelled carious | " + " | ".join(FIGURES) + " |",
        "|---" * (4 + len(FIGURES)) + "|",
    ]
    kinds = [("all", ["all"] * len(photos)), *groups]
    for name, of_photo in kinds:
        for kind in sorted(set(of_photo), key=_order):
            places = [place for place, value in enumerate(of_photo) if value == kind]
            chosen = [photos[place] for place in places]
            result = assess(
                chosen,
                [predictions[place] for place in places],
                score_threshold=threshold,
                resamples=resamples,
            )
            class_ids = np.concatenate([photo.class_ids for photo in chosen])
            cells = [
                "all" if name == "all" else f"{name}: {kind}",
                *(str(len(chosen)), str(len(class_ids)), str(int((class_ids == CLASS_IDS[SCREENED_CLASS]).sum()))),
            ]
            for figure in FIGURES:
                value, span = result.figures[figure]
                interval = f" [{span[0]:.3f}, {span[1]:.3f}]" if span and len(chosen) >= FEWEST else ""
                cells.append("-" if value is None else f"{value:.3f}{interval}")
            rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def judged_teeth(photos: Sequence[AnnotatedPhoto], predictions: Sequence[Detections]) -> list[JudgedTooth]:
    """Every labelled tooth of these photos, judged by what was seen on them."""
    return [
        JudgedTooth(photo, row, None if np.isnan(opinion) else float(1 / (1 + np.exp(-opinion))))
        for photo, found in zip(photos, predictions, strict=True)
        for row, opinion in enumerate(detector_opinion(photo, found))
    ]


def worst_misses(teeth: Iterable[JudgedTooth]) -> list[JudgedTooth]:
    """The teeth labelled carious, least suspected first: those that were not found, large before small, then those of
    the lowest probability of caries."""
    carious = [tooth for tooth in teeth if tooth.is_carious]
    return sorted(carious, key=lambda tooth: (-1.0, -tooth.area) if tooth.caries is None else (tooth.caries, 0.0))


def contradicted(teeth: Iterable[JudgedTooth]) -> list[JudgedTooth]:
    """The found teeth, those first of whose label the detector that never saw it thinks least (confident learning,
    Northcutt et al. 2021)."""

    def of_label(tooth: JudgedTooth) -> float:
        assert tooth.caries is not None
        return tooth.caries if tooth.is_carious else 1 - tooth.caries

    return sorted((tooth for tooth in teeth if tooth.caries is not None), key=of_label)


def _write_photos(photos: Sequence[AnnotatedPhoto], matches: Sequence[Matches], path: Path) -> None:
    """A line for each photo: its teeth, how many of them are labelled carious, suspected at the operating point of all
    photos, and rightly so, and its excess; those of the largest excess, to either side, first."""
    threshold, _ = operating_point(photos, matches)
    rows = []
    for photo, item, more in zip(photos, matches, excess(matches), strict=True):
        counts = at_threshold([item], threshold)
        rows.append((photo.path.name, len(photo.boxes), counts.labelled, counts.shown, counts.true, f"{more:.1f}"))
    rows.sort(key=lambda row: -abs(float(row[-1])))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("image", "teeth", "labelled_carious", "suspected", "rightly_suspected", "excess"))
        writer.writerows(rows)


def _write_teeth(teeth: Sequence[JudgedTooth], path: Path) -> None:
    names = {class_id: name for name, class_id in CLASS_IDS.items()}
    rows = [
        (tooth.photo.path.name, tooth.row + 1, names[int(tooth.photo.class_ids[tooth.row])], tooth.says)
        for tooth in teeth
    ]
    with path.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("image", "tooth", "label", "probability_of_caries"))
        writer.writerows(rows)
    if teeth:
        pictures = [tooth_in_place(tooth.photo, tooth.row) for tooth in teeth]
        titles = [f"{Path(image).stem} {number}: {label}, {says}" for image, number, label, says in rows]
        contact_sheet(pictures, columns=5, titles=titles).save(path.with_suffix(".png"))


def _size(photo: AnnotatedPhoto) -> str:
    longer = max(photo.width, photo.height)
    for low, high in zip((0, *SIZES), SIZES, strict=False):
        if longer <= high:
            return f"up to {high}" if low == 0 else f"{low + 1} to {high}"
    return f"from {SIZES[-1] + 1}"


def _order(kind: str) -> tuple[int, str]:
    """Sizes by their number, other kinds by name."""
    numbers = [int(word) for word in kind.split() if word.isdecimal()]
    return (numbers[-1] if numbers else 0, kind)
