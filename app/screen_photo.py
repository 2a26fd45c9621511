"""The one way of a photo: decode, detect, screen, draw, encode. Server and `caries detect` both come through here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

from app import drawing, images, tracing
from app.bundle import Bundle
from app.detections import Detections
from app.engine import Engine
from app.errors import DeadlineExceeded, Overloaded
from app.images import MediaType, Photo, Pixels
from app.screening import ClassSelection, PhotoQuality, Screening, assess_quality, screen
from app.settings import Settings

STAGES = ("decode", "queue", "inference", "draw", "encode")
"""Where a photo's time goes. `queue` is all waiting, for a thread as well as for the detector."""

BOX_DECIMALS = 1
SCORE_DECIMALS = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a caller asks for one photo.

    Attributes:
        threshold: 0 to 1; None takes the bundle's operating point.
        max_boxes: at least 1; None takes the bundle's operating point.
        classes: which classes are listed and drawn.
        lang: language of the drawn labels.
        media_type: of the annotated picture; None draws none.
    """

    threshold: float | None = None
    max_boxes: int | None = None
    classes: ClassSelection = ClassSelection.CARIES
    lang: Literal["en", "ko"] = "en"
    media_type: MediaType | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenedPhoto:
    """The answer for one photo.

    Attributes:
        bundle: the detector that answered.
        width, height: of the upright photo, pixels.
        sha256: of the photo as it was sent.
        screening: verdict and boxes.
        score_threshold, max_boxes: as applied.
        timings_ms: milliseconds by stage, see `STAGES`.
        picture: the annotated photo, if one was asked for.
    """

    bundle: Bundle
    width: int
    height: int
    sha256: str
    screening: Screening
    score_threshold: float
    max_boxes: int
    timings_ms: dict[str, float]
    picture: bytes | None

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
        """The JSON answer. What was measured at the bundle's threshold is null where another threshold was applied."""
        point = self.bundle.operating_point
        measured = self.score_threshold == point.score_threshold
        return {
            "model": {"name": self.bundle.name, "version": self.bundle.version, "sha256": self.bundle.sha256},
            "image": {"width": self.width, "height": self.height, "sha256": self.sha256},
            "verdict": self.screening.verdict.value,
            "reasons": [reason.value for reason in self.screening.reasons],
            "teeth_seen": self.screening.teeth_seen,
            "detections": self.boxes(),
            "hidden_by_max_boxes": self.screening.hidden_by_max_boxes,
            "operating_point": {
                "score_threshold": self.score_threshold,
                "max_boxes": self.max_boxes,
                "sensitivity": point.sensitivity if measured else None,
                "false_positives_per_image": point.false_positives_per_image if measured else None,
            },
            "timings_ms": {stage: round(self.timings_ms[stage], 2) for stage in STAGES},
        }


class Screener:
    """Takes photos through all stages, with a bound on how many are held decoded at once, whichever engine they go to.

    Attributes:
        admitted: callers that hold a place, see `admit`.
    """

    def __init__(
        self,
        *,
        limits: images.Limits = images.DEFAULT_LIMITS,
        photos_open: int = 4,
        queue: int = 32,
    ) -> None:
        """Makes the threads that decode, draw and encode.

        Args:
            limits: of one photo.
            photos_open: photos held decoded at once; as many threads are made.
            queue: how many callers may wait beyond those, see `admit`.
        """
        self._limits = limits
        self._places = asyncio.Semaphore(photos_open)
        self._threads = ThreadPoolExecutor(photos_open, thread_name_prefix="photo")
        self._admissible = photos_open + queue
        self.admitted = 0

    @classmethod
    def of_settings(cls, settings: Settings) -> Self:
        """A screener with the limits of the settings."""
        return cls(
            limits=images.Limits(
                max_bytes=settings.max_bytes,
                max_pixels=settings.max_pixels,
                max_side=settings.max_side,
                max_frames=settings.max_frames,
                formats=frozenset(settings.formats.split(",")),
            ),
            photos_open=settings.photos_open,
            queue=settings.queue,
        )

    @contextmanager
    def admit(self) -> Iterator[None]:
        """A place for one caller, from before its photo is read, so that a rush cannot fill the memory with photos.

        Raises:
            Overloaded: no place is free.
        """
        if self.admitted >= self._admissible:
            raise Overloaded(f"{self.admitted} photos are in hand and no more may wait; try again shortly")
        self.admitted += 1
        try:
            yield
        finally:
            self.admitted -= 1

    async def screen(self, data: bytes, options: Options, engine: Engine) -> ScreenedPhoto:
        """Screens one photo. Cancelling the call drops whatever was not begun.

        Args:
            data: the photo as it was sent.
            options: what is asked for.
            engine: the detector, started and closed by whoever made it.

        Raises:
            PhotoError: the photo cannot be used.
            DeadlineExceeded: inference did not end within the engine's deadline.
            Overloaded, RuntimeUnavailable: see `Engine.submit`.
        """
        timings = dict.fromkeys(STAGES, 0.0)
        limit = asyncio.timeout(engine.deadline_s)
        asked = time.perf_counter()
        try:
            async with limit, self._places:
                timings["queue"] += (time.perf_counter() - asked) * 1000
                photo, quality = await self._in_thread(timings, "decode", lambda: self._open(data))
                detections, queue_ms, timings["inference"] = await engine.detect(photo.pixels)
                timings["queue"] += queue_ms
                tracing.record("inference", timings["inference"])
                limit.reschedule(None)  # from here on, giving up would waste the work done
                screening, threshold, max_boxes = _judge(detections, quality, options, engine.bundle)
                picture = await self._draw(photo, screening, options, engine.bundle, timings)
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceeded(
                f"the photo could not be screened within {engine.deadline_s:g} seconds; try again shortly"
            ) from None
        return ScreenedPhoto(
            bundle=engine.bundle,
            width=photo.width,
            height=photo.height,
            sha256=photo.sha256,
            screening=screening,
            score_threshold=threshold,
            max_boxes=max_boxes,
            timings_ms=timings,
            picture=picture,
        )

    def close(self) -> None:
        """Waits for the threads to end; the engine stays as it is."""
        self._threads.shutdown(cancel_futures=True)

    def _open(self, data: bytes) -> tuple[Photo, PhotoQuality]:
        photo = images.decode(data, self._limits)
        return photo, assess_quality(photo.pixels)

    async def _draw(
        self, photo: Photo, screening: Screening, options: Options, bundle: Bundle, timings: dict[str, float]
    ) -> bytes | None:
        media_type = options.media_type
        if media_type is None:
            return None

        def annotate() -> Pixels:
            return drawing.annotate(
                photo.pixels,
                screening.shown,
                class_names=bundle.class_names,
                screened_class_id=bundle.screened_class_id,
                verdict=screening.verdict,
                reasons=screening.reasons,
                model=f"{bundle.name} v{bundle.version}",
                hidden=screening.hidden_by_max_boxes,
                lang=options.lang,
            )

        annotated = await self._in_thread(timings, "draw", annotate)
        return await self._in_thread(timings, "encode", lambda: images.encode(annotated, media_type))

    async def _in_thread(self, timings: dict[str, float], stage: str, work: Callable[[], T]) -> T:
        """Runs `work` in a photo thread; its time goes to `stage`, the wait for a thread to `queue`."""

        def timed() -> tuple[T, float]:
            started = time.perf_counter()
            return work(), (time.perf_counter() - started) * 1000

        asked = time.perf_counter()
        result, worked_ms = await asyncio.get_running_loop().run_in_executor(self._threads, timed)
        timings[stage] += worked_ms
        tracing.record(stage, worked_ms)
        timings["queue"] += max(0.0, (time.perf_counter() - asked) * 1000 - worked_ms)
        return result


def _judge(
    detections: Detections, quality: PhotoQuality, options: Options, bundle: Bundle
) -> tuple[Screening, float, int]:
    point = bundle.operating_point
    threshold = point.score_threshold if options.threshold is None else options.threshold
    max_boxes = point.max_boxes if options.max_boxes is None else options.max_boxes
    screening = screen(
        detections,
        quality,
        screened_class_id=bundle.screened_class_id,
        score_threshold=threshold,
        max_boxes=max_boxes,
        classes=options.classes,
    )
    return screening, threshold, max_boxes
