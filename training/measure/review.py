"""Where a detector goes wrong on photos that it was not trained on: by photo, by kind of photo, and by tooth.

Written to the folder:

    verdicts.md           the server's verdicts on the photos
    dispersion.md         whether the errors on one photo go together
    photos.csv            every photo, those with the most errors that go together first
    by_kind.md            figures by photo size, and by the kinds of a table, such as the view of the mouth
    misses.csv, .png      the carious teeth that were suspected least
    false_marks.csv, .png the boxes of caries with the highest scores that have no label of caries
    labels.csv, .png      the labels that the detector contradicts most

The pictures show the photos: share them only where the photos may be shared.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.detector.boxes import SAME_TOOTH_IOU, box_iou
from app.detector.calibration import FLOOR, teeth
from app.detector.detections import Detections
from app.screening import Verdict
from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.errors import TrainingError
from training.explore.sheets import contact_sheet, tooth_in_place
from training.measure.assessment import assess
from training.measure.calibration import CalibrationError, cross_fitted
from training.measure.dispersion import dispersion_table, excess
from training.measure.metrics import (
    MATCH_IOU,
    RESAMPLES,
    SCREENED_CLASS,
    Floats,
    Matches,
    at_threshold,
    best_f1,
    match,
    match_class,
)
from training.measure.out_of_fold import OutOfFold
from training.measure.report import figure_text
from training.measure.verdicts import photo_qualities, photo_verdicts
from training.output import markdown_table, write_file

MAX_TEETH = 50
"""In each list."""

SIZES = (200, 320, 640)
"""Upper bounds of the kinds of photo by size, pixels of the longer side."""

MIN_PHOTOS = 10
"""Photos of a kind for which intervals are given: with fewer, a resample may have no carious tooth."""

FIGURES = ("mAP@.5", "AP@.5 caries", "F1", "sensitivity", "precision", "class right on found teeth")
"""By kind, see `training.measure.assessment`."""


class ReviewError(TrainingError):
    """The table of kinds cannot be used."""


@dataclass(frozen=True, slots=True)
class JudgedTooth:
    """A labelled tooth, a row of the photo's labels, and the detector's probability of caries, given that it is a
    tooth; None if no box overlaps it by half."""

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
    def opinion(self) -> str:
        """The probability with two digits, or that the tooth was not found."""
        return "not found" if self.caries is None else f"{self.caries:.2f}"


def review(found: OutOfFold, out: Path, *, kinds: Path | None = None, resamples: int = RESAMPLES) -> str:
    """Write verdicts, figures and lists of photos and teeth, and return verdicts and figures as text. Each fold is
    calibrated on the others, a single fold in parts; scores stay as they are if there is not enough to calibrate on.

    Args:
        kinds: a CSV file with a column `image`, a row for each photo, and a column for each way to group them.

    Raises:
        ReviewError: a photo is not in the table of kinds.
        PhotoError: a photo can no longer be read.
    """
    groups = [("longer side", [_size(photo) for photo in found.photos])]
    if len({photo.source for photo in found.photos}) > 1:
        groups.append(("data set", [photo.source for photo in found.photos]))
    if kinds is not None:
        groups += read_kinds(kinds, found.photos)
    try:
        scored, note = cross_fitted(found.photos, found.predictions), ""
    except CalibrationError as error:
        scored, note = found.predictions, f"Not calibrated: {error}.\n\n"
    matches = match_class(found.photos, scored)
    threshold, _ = best_f1(matches)
    counts = verdicts(found.photos, found.predictions, scored, threshold)
    answers = markdown_table(
        ["photos", *Verdict], [[kind, *map(str, of_kind.values())] for kind, of_kind in counts.items()]
    )
    spread = dispersion_table(matches, [photo.group for photo in found.photos])
    figures = by_kind(found.photos, scored, groups, threshold, resamples=resamples)
    judged = judged_teeth(found.photos, scored)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (("verdicts", answers), ("dispersion", spread), ("by_kind", figures)):
        write_file(out / f"{name}.md", note + text)
    _write_photos(found.photos, matches, threshold, out / "photos.csv")
    _write_teeth(worst_misses(judged)[:MAX_TEETH], out / "misses")
    _write_teeth(contradicted(judged)[:MAX_TEETH], out / "labels")
    _write_marks(false_marks(found.photos, scored)[:MAX_TEETH], out / "false_marks")
    return f"{note}{answers}\n{spread}\n{figures}"


def read_kinds(path: Path, photos: Sequence[AnnotatedPhoto]) -> list[tuple[str, list[str]]]:
    """Each column of the table of kinds: its name, and its value for each photo. Raises ReviewError: see `review`."""
    try:
        # utf-8-sig drops the byte order mark that spreadsheets write.
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReviewError(f"{path} cannot be read as CSV in UTF-8: {error}") from error
    by_image = {row.get("image"): row for row in rows}
    missing = [photo.path.name for photo in photos if photo.path.name not in by_image]
    if missing:
        raise ReviewError(f"{path} has no row for {len(missing)} photos, such as {missing[0]}")
    names = [name for name in rows[0] if name != "image"] if rows else []
    return [(name, [by_image[photo.path.name][name] for photo in photos]) for name in names]


def verdicts(
    photos: Sequence[AnnotatedPhoto], seen: Sequence[Detections], scored: Sequence[Detections], threshold: float
) -> dict[str, dict[Verdict, int]]:
    """The server's verdicts on photos with and without labelled caries. Raises PhotoError: a photo can no longer be
    read."""
    labelled, clean = f"{SCREENED_CLASS} labelled", "none labelled"
    counts = {kind: dict.fromkeys(Verdict, 0) for kind in (labelled, clean)}
    found = photo_verdicts(photos, seen, scored, photo_qualities(photos))
    for has_class, verdict in zip(found.has_class, found.at(threshold), strict=True):
        counts[labelled if has_class else clean][verdict] += 1
    return counts


def by_kind(
    photos: Sequence[AnnotatedPhoto],
    predictions: Sequence[Detections],
    groups: Iterable[tuple[str, Sequence[str]]],
    threshold: float,
    *,
    resamples: int,
) -> str:
    """A Markdown table of figures for each kind of photo, at the operating point of all photos; a group has the name
    of a way to group the photos, and the kind of each photo."""
    rows = []
    for name, of_photo in [("all", ["all"] * len(photos)), *groups]:
        for kind in sorted(set(of_photo), key=_order):
            places = [place for place, value in enumerate(of_photo) if value == kind]
            chosen = [photos[place] for place in places]
            found = [predictions[place] for place in places]
            figures = assess(chosen, found, score_threshold=threshold, resamples=resamples).as_dict()["figures"]
            class_ids = np.concatenate([photo.class_ids for photo in chosen])
            texts = [figure_text(figures[figure]) for figure in FIGURES]
            rows.append(
                [
                    "all" if name == "all" else f"{name}: {kind}",
                    *(str(len(chosen)), str(len(class_ids)), str((class_ids == CLASS_IDS[SCREENED_CLASS]).sum())),
                    *(text if len(chosen) >= MIN_PHOTOS else text.partition(" ")[0] for text in texts),
                ]
            )
    return (
        f"At a score of {SCREENED_CLASS} of {threshold:.3f}, that of the best F1 over all {len(photos)} photos.\n\n"
        + markdown_table(["photos", "number", "teeth", "labelled carious", *FIGURES], rows)
    )


def judged_teeth(photos: Sequence[AnnotatedPhoto], predictions: Sequence[Detections]) -> list[JudgedTooth]:
    """Every labelled tooth of these photos with the detector's opinion."""
    return [
        JudgedTooth(photo, row, None if np.isnan(caries) else float(caries))
        for photo, found in zip(photos, predictions, strict=True)
        for row, caries in enumerate(caries_probabilities(photo, found))
    ]


def caries_probabilities(photo: AnnotatedPhoto, detections: Detections) -> Floats:
    """The probability of caries of each labelled tooth, given that it is a tooth, float64 `[labels]`: the logistic
    function of caries logit less normal logit. NaN for a tooth that no box overlaps by half."""
    boxes, scores = teeth(detections, tuple(CLASS_IDS.values()))
    probabilities: npt.NDArray[np.float64] = np.full(len(photo.boxes), np.nan)
    if len(boxes) and len(photo.boxes):
        overlaps = box_iou(photo.boxes, boxes)
        best = overlaps.argmax(axis=1)
        is_found = overlaps[np.arange(len(best)), best] >= SAME_TOOTH_IOU
        bounded = np.clip(scores, FLOOR, 1 - FLOOR)
        logits = np.log(bounded / (1 - bounded))
        probabilities[is_found] = (1 / (1 + np.exp(logits[:, 0] - logits[:, 1])))[best[is_found]]
    return probabilities


def worst_misses(judged: Iterable[JudgedTooth]) -> list[JudgedTooth]:
    """The teeth labelled carious, least suspected first: those that were not found, large before small, then by
    probability of caries."""
    carious = [tooth for tooth in judged if tooth.is_carious]
    return sorted(carious, key=lambda tooth: (-1.0, -tooth.area) if tooth.caries is None else (tooth.caries, 0.0))


def contradicted(judged: Iterable[JudgedTooth]) -> list[JudgedTooth]:
    """The found teeth, lowest probability of their label first (confident learning, Northcutt et al. 2021)."""
    found = [(tooth, tooth.caries) for tooth in judged if tooth.caries is not None]
    found.sort(key=lambda pair: pair[1] if pair[0].is_carious else 1 - pair[1])
    return [tooth for tooth, _ in found]


@dataclass(frozen=True, slots=True)
class FalseMark:
    """A box of caries, float32 `[4]`, without a label of caries: its score, and the class of the labelled tooth that it
    overlaps by half, None if there is none."""

    photo: AnnotatedPhoto
    box: npt.NDArray[np.float32]
    score: float
    class_id: int | None


def false_marks(photos: Sequence[AnnotatedPhoto], predictions: Sequence[Detections]) -> list[FalseMark]:
    """The boxes of caries on these photos that match no label of caries, highest score first."""
    marks = []
    screened = CLASS_IDS[SCREENED_CLASS]
    for photo, found in zip(photos, predictions, strict=True):
        of_class = found.where(found.class_ids == screened)
        overlaps = box_iou(of_class.boxes, photo.boxes)
        for row in np.flatnonzero(~match(photo, found, screened).correct):
            label = int(overlaps[row].argmax()) if len(photo.boxes) else -1
            is_tooth = label >= 0 and overlaps[row, label] >= MATCH_IOU
            class_id = int(photo.class_ids[label]) if is_tooth else None
            marks.append(FalseMark(photo, of_class.boxes[row], float(of_class.scores[row]), class_id))
    return sorted(marks, key=lambda mark: -mark.score)


def _write_marks(marks: Sequence[FalseMark], path: Path) -> None:
    names = {class_id: name for name, class_id in CLASS_IDS.items()}
    rows = [
        (mark.photo.path.name, names.get(mark.class_id or 0, "none"), f"{mark.score:.2f}", *mark.box.round(4).tolist())
        for mark in marks
    ]
    _write_csv(path.with_suffix(".csv"), ("image", "label", "score", "ymin", "xmin", "ymax", "xmax"), rows)
    if marks:
        screened = np.array([CLASS_IDS[SCREENED_CLASS]], np.int32)
        pictures = [tooth_in_place(replace(mark.photo, boxes=mark.box[None], class_ids=screened), 0) for mark in marks]
        titles = [f"{Path(image).stem}: {label}, {score}" for image, label, score, *_ in rows]
        contact_sheet(pictures, columns=5, titles=titles).save(path.with_suffix(".png"))


def _write_photos(photos: Sequence[AnnotatedPhoto], matches: Sequence[Matches], threshold: float, path: Path) -> None:
    """Counts of each photo at the threshold, and its excess, the largest to either side first."""
    rows = []
    for photo, item, more in zip(photos, matches, excess(matches), strict=True):
        counts = at_threshold([item], threshold)
        rows.append((photo.path.name, len(photo.boxes), counts.labelled, counts.shown, counts.true, f"{more:.1f}"))
    rows.sort(key=lambda row: -abs(float(row[-1])))
    _write_csv(path, ("image", "teeth", "labelled_carious", "suspected", "rightly_suspected", "excess"), rows)


def _write_teeth(judged: Sequence[JudgedTooth], path: Path) -> None:
    names = {class_id: name for name, class_id in CLASS_IDS.items()}
    rows = [
        (tooth.photo.path.name, tooth.row + 1, names[int(tooth.photo.class_ids[tooth.row])], tooth.opinion)
        for tooth in judged
    ]
    _write_csv(path.with_suffix(".csv"), ("image", "tooth", "label", "probability_of_caries"), rows)
    if judged:
        pictures = [tooth_in_place(tooth.photo, tooth.row) for tooth in judged]
        titles = [f"{Path(image).stem} {number}: {label}, {opinion}" for image, number, label, opinion in rows]
        contact_sheet(pictures, columns=5, titles=titles).save(path.with_suffix(".png"))


def _write_csv(path: Path, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([headings, *rows])
    write_file(path, text.getvalue())


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
