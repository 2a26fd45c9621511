"""The one way of a photo: decode, detect, screen, draw, encode. Server and `caries detect` both come through here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, TypeVar, cast

from app import drawing
from app.detector.bundle import Bundle
from app.detector.detections import Detections
from app.detector.engine import Engine
from app.detector.runtimes import fitted
from app.errors import DeadlineExceeded, Overloaded, PhotoTooCostly, PhotoTooLarge
from app.photo.decoding import Photo, decode
from app.photo.encoding import encode
from app.photo.formats import MediaType
from app.photo.limits import DEFAULT_LIMITS, Limits
from app.photo.pixels import Pixels
from app.photo.quality import PhotoQuality, assess_quality, screened_side
from app.process import tracing
from app.process.cores import usable_cores
from app.screening import ClassSelection, Screening, screen
from app.settings import Settings

STAGES = ("decode", "queue", "inference", "draw", "encode")
"""Where a photo's time goes. `queue` is all waiting, for a thread as well as for the detector."""

LARGE_PIXELS = 25_000_000
"""Of photos with more pixels, only `LARGE_AT_ONCE` are held decoded at a time."""

LARGE_AT_ONCE = 2
"""With the other places full of smaller ones, photos of the default limits take 178 megapixels together."""

KEPT_PER_PLACE = 128 * 2**20
"""Bytes of pictures that are done and not yet fetched, for each photo that may be open: four batches of 24 megapixels
as PNG have room. One of noise, the largest there is, has 3 bytes a pixel."""

MOST_PACKERS = 4
"""Threads that pack the picture of a caller who is alone."""

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


@dataclass(frozen=True, slots=True)
class _Opened:
    """What is kept of a decoded photo: for an answer without a picture, a few hundred kilobytes.

    Attributes:
        width, height: of the upright photo, pixels.
        sha256: of the photo as it was sent.
        quality: whether it can be assessed.
        model_input: uint8 `[height, width, 3]` in the size of the model's input.
        photo: to be drawn on, and taken away then; empty if no picture is asked for.
    """

    width: int
    height: int
    sha256: str
    quality: PhotoQuality
    model_input: Pixels
    photo: list[Photo]


class _Place:
    """What a photo holds of the places for open photos, until nothing is done for it any more in a thread.

    Whoever waited for it may have left by then: a thread cannot be stopped, and its memory is in use until it ends.

    Attributes:
        wanted: whether somebody still waits.
    """

    def __init__(self) -> None:
        self.wanted = True
        self._held: list[asyncio.Semaphore] = []
        self._work: asyncio.Future[Any] | None = None

    async def take(self, timings: dict[str, float], *places: asyncio.Semaphore) -> None:
        """Waits for each of the places in turn; the time goes to `queue`."""
        asked = time.perf_counter()
        for place in places:
            await place.acquire()
            self._held.append(place)
        timings["queue"] += (time.perf_counter() - asked) * 1000

    async def run(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        """The result of `work`, done in a thread; if the call is cancelled, it is dropped unless it was begun."""
        running = threads.submit(work)
        self._work = asyncio.wrap_future(running)
        try:
            return cast(T, await asyncio.shield(self._work))
        except asyncio.CancelledError:
            running.cancel()
            self.wanted = False
            # Nobody else will ask how it ended.
            self._work.add_done_callback(lambda work: work.cancelled() or work.exception())
            raise

    def give_back(self) -> None:
        """Gives back what is held: now, or when the thread has ended."""
        held, self._held = self._held, []

        def release(_: object = None) -> None:
            for place in held:
                place.release()

        if self._work is None or self._work.done():
            release()
        else:
            self._work.add_done_callback(release)


class Screener:
    """Takes photos through all stages, with a bound on how many are held decoded at once, whichever engine they go to.

    Attributes:
        admitted: callers that hold a place, see `admit`.
        turns: each photo of a batch holds one from before it is unpacked. All but one place for open photos may go to
            batches, so that a caller with one photo never waits for a batch to be done.
        most_turns: how many there are.
    """

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        photos_open: int = 4,
        queue: int = 32,
        batches_open: int = 4,
    ) -> None:
        """Makes the threads that decode, draw and encode.

        Args:
            limits: of one photo.
            photos_open: photos held decoded at once; as many threads are made.
            queue: how many callers may wait beyond those, see `admit`.
            batches_open: how many callers may bring several photos, see `admit_batch`.
        """
        self._limits = limits
        self._limits_side_by_side = replace(limits, max_pixels=min(limits.max_pixels, LARGE_PIXELS))
        self._places = asyncio.Semaphore(photos_open)
        self._large_places = asyncio.Semaphore(LARGE_AT_ONCE)
        self._threads = ThreadPoolExecutor(photos_open, thread_name_prefix="photo")
        self._admissible = photos_open + queue
        self.admitted = 0
        self.most_turns = max(1, photos_open - 1)
        self.turns = asyncio.Semaphore(self.most_turns)
        self._batches = 0
        self._batches_open = batches_open
        self._most_kept = KEPT_PER_PLACE * photos_open
        self._kept: dict[object, dict[asyncio.Timeout, int]] = {}

    @classmethod
    def of_settings(cls, settings: Settings) -> Self:
        """A screener with the limits of the settings."""
        return cls(
            limits=settings.limits,
            photos_open=settings.photos_open,
            queue=settings.queue,
            batches_open=settings.batches_open,
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

    @contextmanager
    def admit_batch(self) -> Iterator[None]:
        """A place for one caller with several photos, which wait for their turns and are not refused any more.

        Raises:
            Overloaded: no place is free.
        """
        if self._batches >= self._batches_open:
            raise Overloaded(f"{self._batches} batches are in hand and no more may wait; try again shortly")
        with self.admit():
            self._batches += 1
            try:
                yield
            finally:
                self._batches -= 1

    @asynccontextmanager
    async def keep(self, owner: object, size: int) -> AsyncIterator[None]:
        """For as long as a picture waits to be fetched: beyond the bound, whoever has kept some longest loses them.

        Args:
            owner: of the picture; who keeps several does not lose them to himself.
            size: bytes that are kept.

        Raises:
            TimeoutError: in the block, when others needed the memory.
        """
        async with asyncio.timeout(None) as limit:
            if size:
                self._kept.setdefault(owner, {})[limit] = size
                self._make_room(owner)
            try:
                yield
            finally:
                own = self._kept.get(owner, {})
                own.pop(limit, None)
                if not own:
                    self._kept.pop(owner, None)

    def _make_room(self, owner: object) -> None:
        while len(self._kept) > 1 and sum(sum(sizes.values()) for sizes in self._kept.values()) > self._most_kept:
            longest = next(other for other in self._kept if other is not owner)
            for limit in self._kept.pop(longest):
                limit.reschedule(asyncio.get_running_loop().time())

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
        limit, place = asyncio.timeout(engine.deadline_s), _Place()
        try:
            async with limit:
                await place.take(timings, self._places)
                try:
                    opened = await self._opened(place, data, options, engine.bundle, timings, self._limits_side_by_side)
                except PhotoTooCostly:
                    raise
                except PhotoTooLarge:  # which its header told
                    place.give_back()
                    await place.take(timings, self._large_places, self._places)
                    opened = await self._opened(place, data, options, engine.bundle, timings, self._limits)
                if not opened.photo:
                    place.give_back()  # what is still held is small
                detections, queue_ms, timings["inference"] = await engine.detect(
                    opened.model_input, alone=self.admitted <= 1
                )
                timings["queue"] += queue_ms
                tracing.record("inference", timings["inference"])
                limit.reschedule(None)  # from here on, giving up would waste the work done
                screening, threshold, max_boxes = _judge(detections, opened.quality, options, engine.bundle)
                picture = await self._draw(place, data, opened.photo, screening, options, engine.bundle, timings)
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceeded(
                f"the photo could not be screened within {engine.deadline_s:g} seconds; try again shortly"
            ) from None
        finally:
            place.give_back()
        return ScreenedPhoto(
            bundle=engine.bundle,
            width=opened.width,
            height=opened.height,
            sha256=opened.sha256,
            screening=screening,
            score_threshold=threshold,
            max_boxes=max_boxes,
            timings_ms=timings,
            picture=picture,
        )

    def close(self) -> None:
        """Waits for the threads to end; the engine stays as it is."""
        self._threads.shutdown(cancel_futures=True)

    async def _opened(
        self,
        place: _Place,
        data: bytes,
        options: Options,
        bundle: Bundle,
        timings: dict[str, float],
        limits: Limits,
    ) -> _Opened:
        def open_photo() -> _Opened:
            side = screened_side(bundle.input_height, bundle.input_width)
            photo = decode(data, limits, shorter_side=side, wanted=lambda: place.wanted)
            return _Opened(
                photo.width,
                photo.height,
                photo.sha256,
                quality=assess_quality(photo.pixels, shorter_side=min(photo.width, photo.height)),
                model_input=fitted(photo.pixels, bundle.input_height, bundle.input_width),
                photo=[photo] if options.media_type else [],
            )

        return await self._in_thread(place, timings, "decode", open_photo)

    async def _draw(
        self,
        place: _Place,
        data: bytes,
        opened: list[Photo],
        screening: Screening,
        options: Options,
        bundle: Bundle,
        timings: dict[str, float],
    ) -> bytes | None:
        media_type = options.media_type
        if not opened or media_type is None:
            return None
        # Whatever the answer's format, the detector saw the same pixels, and so finds the same boxes.
        if not opened[0].whole:
            opened[0] = await self._in_thread(place, timings, "decode", lambda: decode(data, self._limits))

        def annotate() -> Pixels:
            return drawing.annotate(
                opened.pop().pixels,  # not to be held beside the copy while that is encoded
                screening.shown,
                class_names=bundle.class_names,
                screened_class_id=bundle.screened_class_id,
                verdict=screening.verdict,
                reasons=screening.reasons,
                model=f"{bundle.name} v{bundle.version}",
                hidden=screening.hidden_by_max_boxes,
                lang=options.lang,
            )

        annotated = await self._in_thread(place, timings, "draw", annotate)
        threads = min(usable_cores(), MOST_PACKERS) if self.admitted <= 1 else 1
        return await self._in_thread(place, timings, "encode", lambda: encode(annotated, media_type, threads=threads))

    async def _in_thread(self, place: _Place, timings: dict[str, float], stage: str, work: Callable[[], T]) -> T:
        """Runs `work` in a photo thread; its time goes to `stage`, the wait for a thread to `queue`."""

        def timed() -> tuple[T, float]:
            started = time.perf_counter()
            return work(), (time.perf_counter() - started) * 1000

        asked = time.perf_counter()
        result, worked_ms = await place.run(self._threads, timed)
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
        bundle.calibrated(detections),
        quality,
        seen=detections,
        screened_class_id=bundle.screened_class_id,
        score_threshold=threshold,
        max_boxes=max_boxes,
        classes=options.classes,
    )
    return screening, threshold, max_boxes
