"""What a detector said about a photo, and how much a reader's labels of it would teach. Pure functions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.detector.boxes import SAME_TOOTH_IOU
from app.detector.calibration import teeth
from app.reviews.labels import CARIES, NORMAL, LabelledBox, Labels, ReaderVerdict, matches
from app.screen_photo import BOX_DECIMALS, SCORE_DECIMALS, ScreenedPhoto
from app.screening import TOOTH_SCORE, Verdict
from app.settings import Blind

MIN_KEPT_SCORE = 0.05
"""Teeth whose classes all score less are not kept."""

READER_VERDICTS = {
    Verdict.CARIES_SUSPECTED: ReaderVerdict.CARIOUS,
    Verdict.NO_CARIES_FOUND: ReaderVerdict.SOUND,
    Verdict.NOT_ASSESSABLE: ReaderVerdict.NOT_ASSESSABLE,
}


@dataclass(frozen=True, slots=True)
class ScoredTooth:
    """A tooth, corners in pixels of the upright photo, and the calibrated score of each class, 0 to 1."""

    corners: tuple[float, float, float, float]
    scores: dict[str, float]

    def as_box(self, class_name: str) -> LabelledBox:
        return LabelledBox(class_name, *self.corners)

    def as_row(self) -> list[Any]:
        """The JSON value in the store."""
        return [*self.corners, self.scores]


@dataclass(frozen=True, slots=True)
class Finding:
    """A detector's answer: its identity, the operating point applied, and every tooth that it saw."""

    model: str
    model_version: int
    model_sha256: str
    operating_point: str | None
    score_threshold: float
    max_boxes: int
    verdict: Verdict
    teeth: tuple[ScoredTooth, ...]

    @classmethod
    def from_screened(cls, screened: ScreenedPhoto) -> "Finding":
        """The answer to a photo that was just screened."""
        bundle, point = screened.bundle, screened.operating_point
        boxes, scores = teeth(screened.detections, tuple(bundle.class_names))
        found = []
        for box, of_class in zip(boxes.tolist(), scores.tolist(), strict=True):
            if max(of_class) >= MIN_KEPT_SCORE:
                ymin, xmin, ymax, xmax = box
                sides = (xmin * screened.width, ymin * screened.height, xmax * screened.width, ymax * screened.height)
                left, top, right, bottom = (round(side, BOX_DECIMALS) for side in sides)
                named = zip(bundle.class_names.values(), of_class, strict=True)
                scored = {name: round(score, SCORE_DECIMALS) for name, score in named}
                found.append(ScoredTooth((left, top, right, bottom), scored))
        return cls(
            *(bundle.name, bundle.version, bundle.sha256, point.name, point.score_threshold, point.max_boxes),
            *(screened.screening.verdict, tuple(found)),
        )

    @property
    def labels(self) -> Labels:
        """The answer in a reader's terms: teeth suspected at the operating point are carious, the others normal."""
        verdict = READER_VERDICTS[self.verdict]
        return Labels(verdict, () if verdict is ReaderVerdict.NOT_ASSESSABLE else tuple(self._boxes()))

    def start(self, blind: Blind) -> list[dict[str, Any]]:
        """The boxes that a reader starts from, in the form of the API; the class is null if blind readers choose it."""
        if blind is Blind.EMPTY:
            return []
        boxes = [box.as_dict() for box in self._boxes()]
        return boxes if blind is Blind.OFF else [box | {"class": None} for box in boxes]

    def as_dict(self) -> dict[str, Any]:
        """The answer in the form of the API, with a box for each tooth and class."""
        scored = [(tooth, name, score) for tooth in self.teeth for name, score in tooth.scores.items()]
        return {
            "model": {"name": self.model, "version": self.model_version, "sha256": self.model_sha256},
            "operating_point": {
                "name": self.operating_point,
                "score_threshold": self.score_threshold,
                "max_boxes": self.max_boxes,
            },
            "verdict": self.verdict.value,
            "boxes": [tooth.as_box(name).as_dict() | {"score": score} for tooth, name, score in scored],
        }

    @property
    def uncertainty(self) -> float:
        """Bits of entropy of "this tooth is carious", summed over the teeth seen (Brust, Käding and Denzler 2019,
        "Active learning for deep object detection")."""
        return sum(_entropy(tooth.scores.get(CARIES, 0.0)) for tooth in self.teeth if _is_seen(tooth))

    def _boxes(self) -> list[LabelledBox]:
        suspected = [tooth.scores.get(CARIES, 0.0) >= self.score_threshold for tooth in self.teeth]
        return [
            tooth.as_box(CARIES if is_suspected else NORMAL)
            for tooth, is_suspected in zip(self.teeth, suspected, strict=True)
            if is_suspected or _is_seen(tooth)
        ]


def disagreement(findings: Sequence[Finding]) -> float:
    """1 less the lowest F1 at IoU 0.5 of any two detectors' suspected teeth; 0 with a single detector."""
    found = [finding.labels.of_class(CARIES) for finding in findings]
    pairs = [(one, two) for place, one in enumerate(found) for two in found[place + 1 :] if one or two]
    same = [2 * len(list(matches(one, two, SAME_TOOTH_IOU))) / (len(one) + len(two)) for one, two in pairs]
    return 1 - min(same, default=1.0)


def _is_seen(tooth: ScoredTooth) -> bool:
    return max(tooth.scores.values()) >= TOOTH_SCORE


def _entropy(chance: float) -> float:
    return -sum(p * math.log2(p) for p in (chance, 1 - chance) if p > 0)
