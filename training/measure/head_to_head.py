"""Whether a bundle is better than another one, on photos that neither has seen.

Each is measured at its own calibrated default operating point; nothing is fitted on the photos. The new one is better
if its mean F1 is higher and no source is worse, both beyond 95 % intervals over paired resamples of the photos.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from app.detector.bundle import FLOAT32_MODEL, MANIFEST, Bundle, find_bundle, read_bundle
from training.data.annotations import AnnotatedPhoto
from training.data.seen_photos import Use, identities
from training.errors import TrainingError
from training.measure.comparison import difference
from training.measure.detectors import assess_detector, find_detector
from training.measure.held_out import seen_photos
from training.measure.metrics import RESAMPLES
from training.measure.predictions import DetectorError
from training.measure.report import MEAN, figure_text
from training.measure.sources import SourcesAssessment, positions_by_source
from training.measure.verdicts import NOT_ASSESSABLE, WITH_CLEARED, WITHOUT_SUSPECTED
from training.output import markdown_table
from training.run_folder import RunFolder

DECISIVE = "F1"
FIGURES = (
    *(DECISIVE, "precision", "sensitivity", "false positives per photo", "AP@.5 caries", "mAP@.5"),
    *("photo AUC", WITH_CLEARED, WITHOUT_SUSPECTED, NOT_ASSESSABLE, "calibration error"),
)

MIN_PHOTOS = 10
"""Resampling fewer says nothing about other photos."""


class ComparisonError(TrainingError):
    """Two bundles cannot be compared on these photos."""


class Compared(NamedTuple):
    """A bundle, and the score threshold that it was measured at."""

    name: str
    version: int
    sha256: str
    score_threshold: float

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        return cls(bundle.name, bundle.version, bundle.sha256, bundle.operating_point.score_threshold)

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class Pair(NamedTuple):
    """A figure of both, new less old with its 95 % interval; None where the photos cannot give it."""

    old: float | None
    new: float | None
    difference: float | None
    interval: tuple[float, float] | None


class Unseen(NamedTuple):
    """Photos that no detector has seen, the number left out by use, and the detectors that were trusted."""

    photos: list[AnnotatedPhoto]
    left_out: Mapping[Use, int]
    unlisted: Sequence[str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Attributes: when it was done, UTC; the bundles; whether the new one is better, and why in words; the number of
    photos by source; the number left out by what they were used for; detectors that were trusted not to have seen the
    photos; `FIGURES` by source and their mean."""

    created: str
    old: Compared
    new: Compared
    is_better: bool
    reason: str
    photos: Mapping[str, int]
    left_out: Mapping[Use, int]
    unlisted: Sequence[str]
    figures: Mapping[str, Mapping[str, Pair]]

    def as_dict(self) -> dict[str, Any]:
        figures = {
            source: {name: pair._asdict() for name, pair in pairs.items()} for source, pairs in self.figures.items()
        }
        return {**asdict(self), "old": self.old._asdict(), "new": self.new._asdict(), "figures": figures}

    def as_text(self) -> str:
        """Heading, the means, F1 by source, and the verdict; Markdown."""
        lines = [f"# {self.new} against {self.old}", ""]
        lines += [
            f"{sum(self.photos.values())} photos; left out because a detector had seen them: {_counted(self.left_out)}."
        ]
        lines += [f"Not known: the photos that {' and '.join(self.unlisted)} have seen."] if self.unlisted else []
        by_figure = [[name, *_cells(pair)] for name, pair in self.figures[MEAN].items()]
        by_source = [
            [source, str(number), *_cells(self.figures[source][DECISIVE])] for source, number in self.photos.items()
        ]
        columns = ["old", "new", "new less old"]
        tables = [
            markdown_table(["mean of the sources", *columns], by_figure),
            markdown_table([f"{DECISIVE} by source", "photos", *columns], by_source),
        ]
        verdict = f"{self.new} is {'better' if self.is_better else 'not better'}: {self.reason}."
        return "\n".join([*lines, "", *tables, verdict]) + "\n"


def bundle_folder(place: Path) -> Path:
    """The folder of a bundle, given it or the run that packaged it. Raises DetectorError: there is no bundle."""
    run = RunFolder(place)
    if (place / MANIFEST).is_file():
        return place
    if run.bundles.is_dir():
        return find_bundle(run.bundles)
    raise DetectorError(f"{place} has no bundle: give the folder of one, or of a run that was packaged")


def compare_bundles(
    old: Path,
    new: Path,
    photos: Sequence[AnnotatedPhoto],
    *,
    trust_unlisted: bool = False,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare two bundles, or runs that were packaged, on the photos that neither has seen.

    Args:
        trust_unlisted: compare even if a bundle, or a detector that it came from, does not list its photos.

    Raises:
        ComparisonError: a bundle does not list its photos, too few photos are left, or none of them has caries.
        DetectorError: there is no bundle.
        BundleError: a bundle is damaged.
    """
    folders = [bundle_folder(place) for place in (old, new)]
    before, after = (Compared.from_bundle(read_bundle(folder)) for folder in folders)
    if before.sha256 == after.sha256:
        raise ComparisonError(f"both are {before}")
    unseen = unseen_photos(folders, photos, trust_unlisted=trust_unlisted)
    one, other = (_assess(folder, unseen.photos, resamples) for folder in folders)
    figures = _pairs(one, other)
    is_better, reason = decide(figures)
    return Comparison(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        old=before,
        new=after,
        is_better=is_better,
        reason=reason,
        photos={source: len(places) for source, places in positions_by_source(unseen.photos).items()},
        left_out=unseen.left_out,
        unlisted=unseen.unlisted,
        figures=figures,
    )


def unseen_photos(bundles: Sequence[Path], photos: Sequence[AnnotatedPhoto], *, trust_unlisted: bool = False) -> Unseen:
    """The photos that none of the bundles has seen. Raises ComparisonError: see `compare_bundles`."""
    every_seen = [seen_photos(folder) for folder in bundles]
    unlisted = list(dict.fromkeys(name for seen in every_seen for name in seen.unlisted))
    if unlisted and not trust_unlisted:
        raise ComparisonError(
            f"{', '.join(unlisted)}: the photos of the training are not listed, so these may be among them; package "
            "the run again, or give --trust-unlisted if you know that they are not"
        )
    known = identities(photos)
    uses = [_first(found) for found in zip(*(seen.uses(known) for seen in every_seen), strict=True)]
    left = [photo for photo, use in zip(photos, uses, strict=True) if use is None]
    left_out = {use: uses.count(use) for use in Use if use in uses}
    if len(left) < MIN_PHOTOS:
        were = f" ({_counted(left_out)})" if left_out else ""
        raise ComparisonError(
            f"{len(left)} of {len(photos)} photos are left that no detector has seen{were}; {MIN_PHOTOS} are needed"
        )
    return Unseen(left, left_out, unlisted)


def _counted(left_out: Mapping[Use, int]) -> str:
    return ", ".join(f"{number} {use}" for use, number in left_out.items()) or "none"


def _first(uses: Sequence[Use | None]) -> Use | None:
    """The use by either that comes first in `Use`."""
    return next((use for use in Use if use in uses), None)


def _assess(folder: Path, photos: list[AnnotatedPhoto], resamples: int) -> SourcesAssessment:
    detector = find_detector(folder, model="float32" if (folder / FLOAT32_MODEL).exists() else "saved_model")
    return assess_detector(detector, photos, resamples=resamples)[0]


def _pairs(old: SourcesAssessment, new: SourcesAssessment) -> dict[str, dict[str, Pair]]:
    differences = difference(new, old)
    names = [name for name in FIGURES if name in new.figures]
    values = {
        **{source: {name: (old.of(name)[source], new.of(name)[source]) for name in names} for source in new.sources},
        MEAN: {name: (old.figures[name], new.figures[name]) for name in names},
    }
    return {
        source: {
            name: Pair(before.value, after.value, *differences[source][name]) for name, (before, after) in of.items()
        }
        for source, of in values.items()
    }


def decide(figures: Mapping[str, Mapping[str, Pair]]) -> tuple[bool, str]:
    """Whether the new detector is better, and the reason. Raises ComparisonError: the photos cannot say it."""
    mean = figures[MEAN][DECISIVE]
    if mean.difference is None or mean.interval is None:
        raise ComparisonError("no photo has a carious tooth, so there is nothing to find")
    by = f"its mean {DECISIVE} differs by {_difference(mean)}"
    if mean.interval[0] <= 0:
        return False, by
    intervals = {source: pairs[DECISIVE].interval for source, pairs in figures.items() if source != MEAN}
    worse = [source for source, interval in intervals.items() if interval is not None and interval[1] < 0]
    if worse:
        return False, f"{by}, but on {', '.join(worse)} it is worse"
    return True, f"{by}, and no source is worse"


def _difference(pair: Pair) -> str:
    return figure_text({"value": pair.difference, "interval": pair.interval}, sign="+")


def _cells(pair: Pair) -> list[str]:
    return [*("-" if value is None else f"{value:.3f}" for value in (pair.old, pair.new)), _difference(pair)]
