"""Cross-fitted calibration and operating points from photos that the detector was not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from app.detector.calibration import Calibration
from app.detector.detections import Detections
from app.photo.quality import PhotoQuality
from training.data.annotations import AnnotatedPhoto
from training.measure.calibration import CalibrationError, cross_fitted, fit
from training.measure.metrics import RESAMPLES, match_class
from training.measure.operating_points import OperatingPoints, operating_points
from training.measure.sources import SourcesAssessment, assess_sources
from training.measure.verdicts import PhotoVerdicts, photo_qualities, photo_verdicts


@dataclass(frozen=True, slots=True)
class CrossFit:
    """A detector on photos that it was not trained on.

    Attributes:
        seen, scored: the detections before and after calibration, each part of the photos calibrated on the others.
        calibration: fitted on all these photos; None if they are too few, for the reason `not_calibrated`.
        points: chosen on `scored`.
    """

    photos: Sequence[AnnotatedPhoto]
    qualities: Sequence[PhotoQuality]
    seen: Sequence[Detections]
    scored: Sequence[Detections]
    verdicts: PhotoVerdicts
    calibration: Calibration | None
    not_calibrated: str
    points: OperatingPoints

    def of_model(self, seen: Sequence[Detections]) -> Self:
        """The same for another model of the detector, such as int8, with calibration and points of the first."""
        scored = seen if self.calibration is None else cross_fitted(self.photos, seen, fitted_on=self.seen)
        verdicts = photo_verdicts(self.photos, seen, scored, self.qualities)
        return replace(self, scored=scored, verdicts=verdicts)

    def assess(self, resamples: int = RESAMPLES) -> SourcesAssessment:
        """The figures by source, cross-fitted at the default point."""
        return assess_sources(
            self.photos,
            self.scored,
            score_threshold=self.points.default.score_threshold,
            of_photos=self.points.default.of_photos,
            verdicts=self.verdicts,
            resamples=resamples,
        )


def cross_fit(photos: Sequence[AnnotatedPhoto], seen: Sequence[Detections]) -> CrossFit:
    """Calibrate the detections on the photos and choose the operating points. Raises PhotoError: a photo can no longer
    be read."""
    qualities = photo_qualities(photos)
    calibration, scored, reason = None, seen, ""
    try:
        scored = cross_fitted(photos, seen)
        calibration = fit(photos, seen)
    except CalibrationError as error:
        reason = str(error)
    verdicts = photo_verdicts(photos, seen, scored, qualities)
    points = operating_points(photos, match_class(photos, scored), verdicts)
    return CrossFit(photos, qualities, seen, scored, verdicts, calibration, reason, points)
