"""How well readers, the consensus and the detectors agree.

Counted are photos whose two readings are blind: readers who saw the detector's boxes or each other's would agree with
them too well. F1 is of boxes of caries matched one to one. Kappa is Cohen's (1960), of a tooth's call, carious or not,
and of a photo's verdict. The teeth of a photo are those that either of the two, or the detector, has a box of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from app.detector.boxes import SAME_TOOTH_IOU, box_iou
from app.reviews.labels import CARIES, READERS, LabelledBox, Labels, ReaderVerdict, corners, matches
from app.reviews.schema import PhotoRow
from app.reviews.store import consensus_labels, view_of

Call = TypeVar("Call", bound=Hashable)

IOUS = (0.5, 0.75)
"""Overlaps from which two boxes match."""

ALL_VIEWS = "all"


@dataclass(slots=True)
class Comparison:
    """Two labellers' calls, added up over photos."""

    photos: int = 0
    boxes: int = 0
    matched: Counter[float] = field(default_factory=Counter)
    teeth: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    verdicts: Counter[tuple[ReaderVerdict, ReaderVerdict]] = field(default_factory=Counter)

    @classmethod
    def from_photo(cls, first: Labels, second: Labels, seen: Sequence[LabelledBox]) -> Comparison:
        """The calls on one photo, on which the detector has boxes of these teeth."""
        one, two = first.of_class(CARIES), second.of_class(CARIES)
        same = len(list(matches(one, two, SAME_TOOTH_IOU)))
        teeth = {(True, True): same, (True, False): len(one) - same, (False, True): len(two) - same}
        teeth[False, False] = _sound_teeth([*one, *two], [*first.boxes, *second.boxes, *seen])
        return cls(
            photos=1,
            boxes=len(one) + len(two),
            matched=Counter({iou: len(list(matches(one, two, iou))) for iou in IOUS}),
            teeth=Counter(teeth),
            verdicts=Counter([(first.verdict, second.verdict)]),
        )

    def add(self, other: Comparison) -> None:
        """Add the calls on other photos."""
        self.photos += other.photos
        self.boxes += other.boxes
        self.matched += other.matched
        self.teeth += other.teeth
        self.verdicts += other.verdicts

    def as_dict(self) -> dict[str, Any]:
        """The figures; null where nothing defines them, as F1 without a box of caries."""
        f1 = {f"f1_{iou:g}".replace(".", ""): _ratio(2 * self.matched[iou], self.boxes) for iou in IOUS}
        kappas = {"kappa_tooth": kappa(self.teeth), "kappa_photo": kappa(self.verdicts)}
        return {"photos": self.photos, "teeth": self.teeth.total(), **f1, **kappas}


def _sound_teeth(carious: Sequence[LabelledBox], boxes: Sequence[LabelledBox]) -> int:
    """How many teeth the boxes show, without those with a carious box."""
    every = corners([*carious, *boxes])
    overlap = box_iou(every, every) >= SAME_TOOTH_IOU
    teeth = list(range(len(carious)))
    for position in range(len(carious), len(every)):
        if not overlap[position, teeth].any():
            teeth.append(position)
    return len(teeth) - len(carious)


def kappa(calls: Counter[tuple[Call, Call]]) -> float | None:
    """Cohen's kappa of pairs of calls, by their numbers; None if chance alone would agree on all."""
    total = calls.total()
    if not total:
        return None
    first, second = Counter[Call](), Counter[Call]()
    for (one, two), number in calls.items():
        first[one] += number
        second[two] += number
    observed = sum(number for (one, two), number in calls.items() if one == two) / total
    expected = sum(first[call] * second[call] for call in first) / total**2
    return None if expected == 1 else round((observed - expected) / (1 - expected), 4)


def agreement(photos: Iterable[PhotoRow]) -> dict[str, Any]:
    """The figures of every pair of readers, and of each reader and each detector against the consensus, also by view.

    Readings that differ have a consensus once someone has settled them; until then they count for the pair only.
    """
    counted = 0
    pairs, readers, detectors = _ByView(), _ByView(), _ByView()
    for photo in photos:
        readings = sorted(photo.all_readings, key=lambda reading: reading.reader)
        if len(readings) != READERS or not all(reading.blind for reading in readings):
            continue
        counted += 1
        view = view_of(photo)
        findings = [row.finding for row in photo.findings]
        seen = [box for finding in findings[:1] for box in finding.labels.boxes]
        first, second = (reading.labels for reading in readings)
        pairs.add(tuple(reading.reader for reading in readings), view, first, second, seen)
        consensus = consensus_labels(photo)
        if consensus is not None:
            for reading in readings:
                readers.add((reading.reader,), view, reading.labels, consensus, seen)
            for finding in findings:
                detectors.add((finding.model, finding.model_version), view, finding.labels, consensus, seen)
    return {
        "photos": counted,
        "pairs": [{"readers": list(names), **figures} for names, figures in pairs.figures()],
        "readers": [{"reader": names[0], **figures} for names, figures in readers.figures()],
        "detectors": [{"model": names[0], "version": names[1], **figures} for names, figures in detectors.figures()],
    }


class _ByView:
    """Comparisons by the names of who is compared."""

    def __init__(self) -> None:
        self._found: dict[tuple[str | int, ...], dict[str, Comparison]] = {}

    def add(
        self, names: tuple[str | int, ...], view: str | None, one: Labels, two: Labels, seen: Sequence[LabelledBox]
    ) -> None:
        of_names, of_photo = self._found.setdefault(names, {}), Comparison.from_photo(one, two, seen)
        for key in (ALL_VIEWS, *([view] if view else [])):
            of_names.setdefault(key, Comparison()).add(of_photo)

    def figures(self) -> list[tuple[tuple[str | int, ...], dict[str, Any]]]:
        """Names with the figures of all photos and of each view, in the order of the names."""
        listed = []
        for names in sorted(self._found, key=str):
            of_views = {view: comparison.as_dict() for view, comparison in sorted(self._found[names].items())}
            listed.append((names, {**of_views.pop(ALL_VIEWS), "by_view": of_views}))
        return listed


def _ratio(part: int, total: int) -> float | None:
    return round(part / total, 4) if total else None
