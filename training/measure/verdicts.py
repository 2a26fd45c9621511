"""The server's verdict on each photo, at any score threshold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.detector.detections import Detections
from app.photo.decoding import decode
from app.photo.quality import PhotoQuality, assess_quality
from app.screening import Verdict, screen
from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.measure.metrics import SCREENED_CLASS, Floats

WITHOUT_SUSPECTED = f"photos without {SCREENED_CLASS} suspected"
WITH_CLEARED = f"photos with {SCREENED_CLASS} called {Verdict.NO_CARIES_FOUND}"
NOT_ASSESSABLE = "not assessable"
"""Names of the shares of photos with a verdict."""


@dataclass(frozen=True, slots=True)
class PhotoVerdicts:
    """Verdicts as functions of the score threshold, `[n]` each. In between, a photo is not assessable.

    Attributes:
        suspected_to: the highest threshold at which caries is suspected; -inf if never.
        cleared_above: the verdict is `no_caries_found` above this threshold; inf if never.
        has_class: whether a tooth of the screened class is labelled.
    """

    suspected_to: Floats
    cleared_above: Floats
    has_class: npt.NDArray[np.bool_]

    def take(self, sample: Sequence[int]) -> "PhotoVerdicts":
        """The photos at these positions."""
        rows = list(sample)
        return PhotoVerdicts(self.suspected_to[rows], self.cleared_above[rows], self.has_class[rows])

    def at(self, thresholds: float | Floats) -> list[Verdict]:
        """The verdict on each photo, at one threshold or at one for each photo."""
        suspected, cleared = thresholds <= self.suspected_to, thresholds > self.cleared_above
        return [
            Verdict.CARIES_SUSPECTED if one else Verdict.NO_CARIES_FOUND if other else Verdict.NOT_ASSESSABLE
            for one, other in zip(suspected, cleared, strict=True)
        ]

    def shares(self, thresholds: Floats) -> dict[str, float | None]:
        """The shares of photos by name, at a threshold for each photo; None without photos of that kind."""
        suspected, cleared = thresholds <= self.suspected_to, thresholds > self.cleared_above

        def share(is_so: npt.NDArray[np.bool_], rows: npt.NDArray[np.bool_]) -> float | None:
            return float(is_so[rows].mean()) if rows.any() else None

        return {
            WITHOUT_SUSPECTED: share(suspected, ~self.has_class),
            WITH_CLEARED: share(cleared, self.has_class),
            NOT_ASSESSABLE: float((~suspected & ~cleared).mean()),
        }


def photo_qualities(photos: Sequence[AnnotatedPhoto]) -> list[PhotoQuality]:
    """The quality of each photo, as the server measures it. Raises PhotoError: a photo can no longer be read."""
    return [assess_quality(decode(photo.path.read_bytes()).pixels) for photo in photos]


def photo_verdicts(
    photos: Sequence[AnnotatedPhoto],
    seen: Sequence[Detections],
    scored: Sequence[Detections],
    qualities: Sequence[PhotoQuality],
) -> PhotoVerdicts:
    """`app.screening.screen` on each photo; `seen` are the detections before calibration, `scored` after it."""
    bounds = [_bounds(*photo) for photo in zip(seen, scored, qualities, strict=True)]
    suspected_to, cleared_above = np.array(bounds, np.float64).reshape(-1, 2).T
    screened = CLASS_IDS[SCREENED_CLASS]
    return PhotoVerdicts(
        suspected_to, cleared_above, np.array([(photo.class_ids == screened).any() for photo in photos], bool)
    )


def _bounds(seen: Detections, scored: Detections, quality: PhotoQuality) -> tuple[float, float]:
    """`suspected_to` and `cleared_above` of one photo."""
    screened = CLASS_IDS[SCREENED_CLASS]
    scores = np.unique(scored.scores[scored.class_ids == screened])[::-1].tolist()

    def verdict(threshold: float) -> Verdict:
        return screen(scored, quality, seen=seen, screened_class_id=screened, score_threshold=threshold).verdict

    if quality.reasons:
        return -np.inf, np.inf
    # More suspects are more teeth, so that a suspected photo stays suspected at lower thresholds.
    suspected_to = next((score for score in scores if verdict(score) is Verdict.CARIES_SUSPECTED), -np.inf)
    is_cleared = verdict(np.inf) is Verdict.NO_CARIES_FOUND
    return suspected_to, max(scores, default=-np.inf) if is_cleared else np.inf
