"""The steps of a photo: decode, detect, judge, draw, encode. The server and `caries detect` both run them."""

import functools
from dataclasses import dataclass, replace
from typing import Any, Literal

from app import drawing
from app.admission import LARGE_PIXELS, Admission, PhotoPermit
from app.detector.bundle import Bundle
from app.detector.detections import Detections
from app.detector.engine import Engine
from app.detector.operating_points import OperatingPoint
from app.detector.runtimes import fitted
from app.errors import PhotoTooCostly, PhotoTooLarge
from app.photo.decoding import Photo, decode
from app.photo.encoding import encode
from app.photo.formats import MediaType
from app.photo.limits import DEFAULT_LIMITS, Limits
from app.photo.pixels import Pixels
from app.photo.quality import PhotoQuality, assess_quality, screened_side
from app.photo.without_metadata import PictureFile, without_metadata
from app.process import tracing
from app.process.cores import usable_cores
from app.screening import TOOTH_SCORE, ClassSelection, Evidence, Screening, screen
from app.settings import Precision

STAGES = ("decode", "queue", "inference", "draw", "encode")
"""Where a photo's time goes. `queue` is all waiting: for permits, for threads and for the detector."""

MAX_ENCODER_THREADS = 4
"""Threads that compress the picture of a lone caller."""

BOX_DECIMALS = 1
SCORE_DECIMALS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a caller asks for one photo.

    Attributes:
        operating_point: by name; None takes the bundle's default.
        threshold: 0 to 1; None takes that of the operating point.
        max_boxes: at least 1; None takes that of the operating point.
        classes: which classes are listed and drawn.
        lang: language of the drawn labels.
        media_type: of the annotated picture; None draws none.
        plain: the picture is the upright photo alone, without boxes and legend.
        evidence: the JSON answer has the `Evidence`.
        frame: of a DICOM file, counted from 1; None takes its only one.
    """

    operating_point: str | None = None
    threshold: float | None = None
    max_boxes: int | None = None
    classes: ClassSelection = ClassSelection.CARIES
    lang: Literal["en", "ko"] = "en"
    media_type: MediaType | None = None
    plain: bool = False
    evidence: bool = False
    frame: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenedPhoto:
    """The answer for one photo.

    Attributes:
        bundle: the detector that answered.
        width, height: of the upright photo, pixels.
        sha256: of the photo as it was sent.
        screening: verdict and boxes.
        detections: everything the detector saw, calibrated if the bundle has a calibration.
        operating_point: as applied, see `OperatingPoint.applied`.
        timings_ms: milliseconds by stage, see `STAGES`.
        picture: the annotated or plain photo, if one was asked for.
        evidence: of the verdict, if it was asked for.
        precision: of the model that ran; None if there was no choice.
    """

    bundle: Bundle
    width: int
    height: int
    sha256: str
    screening: Screening
    detections: Detections
    operating_point: OperatingPoint
    timings_ms: dict[str, float]
    picture: bytes | None
    evidence: Evidence | None
    precision: Precision | None = None

    def boxes(self) -> list[dict[str, Any]]:
        """The boxes shown, highest score first, in pixels of the upright photo."""
        shown = self.screening.shown
        rows = []
        for corners, (_, score, class_id) in zip(shown.in_pixels(self.width, self.height), shown, strict=True):
            ymin, xmin, ymax, xmax = (round(float(value), BOX_DECIMALS) for value in corners)
            rows.append(
                {
                    "class": self.bundle.class_names.get(class_id, str(class_id)),
                    "class_id": class_id,
                    "score": round(score, SCORE_DECIMALS),
                    "box": {"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax},
                }
            )
        return rows

    def as_dict(self) -> dict[str, Any]:
        """The JSON answer. At a threshold that is not an operating point's, the figures are null."""
        point = self.operating_point
        return {
            "model": {"name": self.bundle.name, "version": self.bundle.version, "sha256": self.bundle.sha256},
            "image": {"width": self.width, "height": self.height, "sha256": self.sha256},
            "verdict": self.screening.verdict.value,
            "reasons": [reason.value for reason in self.screening.reasons],
            "teeth_seen": self.screening.teeth_seen,
            "detections": self.boxes(),
            "hidden_by_max_boxes": self.screening.hidden_by_max_boxes,
            "operating_point": {
                "name": point.name,
                "score_threshold": point.score_threshold,
                "max_boxes": point.max_boxes,
                "sensitivity": point.sensitivity,
                "false_positives_per_image": point.false_positives_per_image,
            },
            "timings_ms": {stage: round(self.timings_ms[stage], 2) for stage in STAGES},
            **({} if self.evidence is None else {"evidence": _evidence_dict(self.evidence)}),
        }


def _evidence_dict(evidence: Evidence) -> dict[str, Any]:
    return {
        "screened_class_id": evidence.screened_class_id,
        "reasons": [reason.value for reason in evidence.reasons],
        "detections": _columns(evidence.detections),
        "seen": _columns(evidence.seen),
    }


def _columns(detections: Detections) -> dict[str, Any]:
    return {
        "boxes": [_exact(box) for box in detections.boxes.tolist()],
        "scores": _exact(detections.scores.tolist()),
        "class_ids": detections.class_ids.tolist(),
    }


def _exact(values: list[float]) -> list[float]:
    """In as few digits as give every float32 back."""
    return [float(f"{value:.9g}") for value in values]


@dataclass(slots=True)
class _Opened:
    """What remains of a decoded photo: without a picture to draw, a few hundred kilobytes.

    Attributes:
        width, height: of the upright photo, pixels.
        sha256: of the photo as it was sent.
        quality: whether it can be assessed.
        model_input: uint8 `[height, width, 3]` in the model's input size.
        photo: to draw on; None if no picture was asked for, and once it is drawn.
    """

    width: int
    height: int
    sha256: str
    quality: PhotoQuality
    model_input: Pixels
    photo: Photo | None


@dataclass(frozen=True, slots=True)
class _Job:
    """One photo: what was sent and asked for, its detector and its permit."""

    data: bytes
    options: Options
    engine: Engine
    permit: PhotoPermit


class Screener:
    """Screens photos, each by the detector that it is given.

    Attributes:
        admission: the permits and the deadline.
    """

    def __init__(self, admission: Admission, limits: Limits = DEFAULT_LIMITS) -> None:
        self.admission = admission
        self._limits = limits
        self._small_limits = replace(limits, max_pixels=min(limits.max_pixels, LARGE_PIXELS))

    async def screen(self, data: bytes, options: Options, engine: Engine) -> ScreenedPhoto:
        """Screen one photo. Cancelling the call drops the steps that were not begun.

        Args:
            data: the photo as it was sent.
            options: the caller's request.
            engine: the detector, started.

        Raises:
            InvalidParameter: the bundle does not have the operating point, or the photo not the frame.
            PhotoError: the photo cannot be used.
            DeadlineExceeded: its detections came too late.
            RuntimeUnavailable, WorkerDied: see `Engine.detect`.
        """
        point = engine.bundle.point(options.operating_point).applied(options.threshold, options.max_boxes)
        with self.admission.photo_permit() as permit:
            job = _Job(data, options, engine, permit)
            async with self.admission.deadline():
                opened = await self._decode(job)
                detections = await self._detect(job, opened)
            calibrated = engine.bundle.calibrated(detections)
            screening = _judge(job, detections, calibrated, opened.quality, point)
            drawn = await self._draw(job, opened, screening)
            picture = await self._encode(job, drawn)
        return ScreenedPhoto(
            bundle=engine.bundle,
            width=opened.width,
            height=opened.height,
            sha256=opened.sha256,
            screening=screening,
            detections=calibrated,
            operating_point=point,
            timings_ms={stage: permit.timings_ms[stage] for stage in STAGES},
            picture=picture,
            evidence=_evidence(job, detections, opened.quality) if options.evidence else None,
            precision=engine.precision.precision if engine.precision else None,
        )

    async def without_metadata(self, data: bytes) -> PictureFile:
        """The photo as it may be kept, see `app.photo.without_metadata`; raises PhotoError and DeadlineExceeded."""
        with self.admission.photo_permit() as permit:
            async with self.admission.deadline():
                await permit.acquire(large=True)  # it is decoded in full, twice
                return await permit.run("decode", lambda: without_metadata(data, self._limits))

    def close(self) -> None:
        """Wait for the photo threads to end; the engines stay open."""
        self.admission.close()

    async def _decode(self, job: _Job) -> _Opened:
        await job.permit.acquire()
        try:
            opened = await job.permit.run("decode", lambda: _open(job, self._small_limits))
        except PhotoTooCostly:
            raise
        except PhotoTooLarge:  # by its header, so nothing was decoded
            job.permit.release()
            await job.permit.acquire(large=True)
            opened = await job.permit.run("decode", lambda: _open(job, self._limits))
        if opened.photo is None:
            job.permit.release()  # what remains is small
        return opened

    async def _detect(self, job: _Job, opened: _Opened) -> Detections:
        inference = await job.engine.detect(opened.model_input, alone=self.admission.alone)
        job.permit.timings_ms["queue"] += inference.queue_ms
        job.permit.timings_ms["inference"] += inference.inference_ms
        tracing.record("inference", inference.inference_ms)
        return inference.detections

    async def _draw(self, job: _Job, opened: _Opened, screening: Screening) -> Pixels | None:
        bundle = job.engine.bundle
        if opened.photo is None:
            return None
        # The detector saw the scaled photo, so that the boxes do not depend on the format of the answer.
        if not opened.photo.is_full_size:
            frame = job.options.frame
            opened.photo = await job.permit.run("decode", lambda: decode(job.data, self._limits, frame=frame))

        def annotate(photo: Photo) -> Pixels:
            if job.options.plain:
                return photo.pixels
            return drawing.annotate(
                photo.pixels,
                screening,
                class_names=bundle.class_names,
                screened_class_id=bundle.screened_class_id,
                model=f"{bundle.name} v{bundle.version}",
                lang=job.options.lang,
            )

        drawn = await job.permit.run("draw", functools.partial(annotate, opened.photo))
        opened.photo = None  # it must not take memory while its copy is encoded
        return drawn

    async def _encode(self, job: _Job, drawn: Pixels | None) -> bytes | None:
        media_type = job.options.media_type
        if drawn is None or media_type is None:
            return None
        threads = min(usable_cores(), MAX_ENCODER_THREADS) if self.admission.alone else 1
        return await job.permit.run("encode", lambda: encode(drawn, media_type, threads=threads))


def _open(job: _Job, limits: Limits) -> _Opened:
    bundle = job.engine.bundle
    side = screened_side(bundle.input_height, bundle.input_width)
    photo = decode(job.data, limits, shorter_side=side, frame=job.options.frame, wanted=lambda: job.permit.wanted)
    return _Opened(
        photo.width,
        photo.height,
        photo.sha256,
        quality=assess_quality(photo.pixels, shorter_side=min(photo.width, photo.height)),
        model_input=fitted(photo.pixels, bundle.input_height, bundle.input_width),
        photo=photo if job.options.media_type else None,
    )


def _judge(
    job: _Job, seen: Detections, calibrated: Detections, quality: PhotoQuality, point: OperatingPoint
) -> Screening:
    return screen(
        calibrated,
        quality,
        seen=seen,
        screened_class_id=job.engine.bundle.screened_class_id,
        score_threshold=point.score_threshold,
        max_boxes=point.max_boxes,
        classes=job.options.classes,
    )


def _evidence(job: _Job, detections: Detections, quality: PhotoQuality) -> Evidence:
    bundle = job.engine.bundle
    return Evidence(
        screened_class_id=bundle.screened_class_id,
        reasons=quality.reasons,
        detections=bundle.calibrated(detections),
        seen=detections.where(detections.scores >= TOOTH_SCORE),
    )
