"""Admission: how many callers, batches and open photos there may be, how long a photo may take, and how many bytes of
answers may wait for their clients.

Callers beyond the bounds are refused before their photo is read. Admitted photos wait for a permit to be decoded.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self, TypeVar, cast

from app.errors import DeadlineExceeded, Overloaded
from app.process import tracing
from app.settings import Settings

LARGE_PIXELS = 25_000_000
"""Photos with more pixels need one of `MAX_LARGE_PHOTOS` permits in addition."""

MAX_LARGE_PHOTOS = 2
"""With the other permits in use by smaller photos, the default limits allow 178 megapixels in all."""

PICTURE_BYTES_PER_PHOTO = 128 * 2**20
"""Bytes of pictures that may wait to be fetched, per photo permit: enough for four batches of PNGs of 24 megapixels.
Noise, the worst case, takes 3 bytes a pixel."""

T = TypeVar("T")


class Admission:
    """The permits of one server, whichever models its photos go to. Belongs to one event loop.

    Attributes:
        callers: admitted at present, batches included.
        batch_concurrency: photos of batches that may be open at the same time: all but one of the photo permits, so
            that a caller with a single photo never waits for a batch.
        batch_photo_permits: each photo of a batch takes one before it is unpacked.
        pictures: those that wait to be fetched.
    """

    def __init__(
        self, *, photos_open: int = 4, queue: int = 32, batches_open: int = 4, deadline_s: float | None = None
    ) -> None:
        """Start the photo threads.

        Args:
            photos_open: photos decoded at the same time, with one thread each.
            queue: callers that may wait in addition.
            batches_open: callers with several photos.
            deadline_s: seconds until a photo's detections must be there; None for no limit.
        """
        self.callers = 0
        self.batch_concurrency = max(1, photos_open - 1)
        self.batch_photo_permits = asyncio.Semaphore(self.batch_concurrency)
        self.pictures = UnfetchedPictures(PICTURE_BYTES_PER_PHOTO * photos_open)
        self._max_callers = photos_open + queue
        self._batches, self._max_batches = 0, batches_open
        self._photos = asyncio.Semaphore(photos_open)
        self._large_photos = asyncio.Semaphore(MAX_LARGE_PHOTOS)
        self._threads = ThreadPoolExecutor(photos_open, thread_name_prefix="photo")
        self.deadline_s = deadline_s

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The bounds that the settings name."""
        return cls(
            photos_open=settings.photos_open,
            queue=settings.queue,
            batches_open=settings.batches_open,
            deadline_s=settings.deadline_s,
        )

    @property
    def alone(self) -> bool:
        """Whether there is only one caller, whose photo may use all cores."""
        return self.callers <= 1

    @contextmanager
    def caller_permit(self) -> Iterator[None]:
        """Admit a caller, before its photo is read, so that a rush cannot fill the memory with photos.

        Raises:
            Overloaded: no permit is free.
        """
        if self.callers >= self._max_callers:
            raise Overloaded(f"the server is busy with {self.callers} requests, as many as it accepts; try again soon")
        self.callers += 1
        try:
            yield
        finally:
            self.callers -= 1

    @contextmanager
    def batch_permit(self) -> Iterator[None]:
        """Admit a caller with several photos; these wait for their permits and are not refused any more.

        Raises:
            Overloaded: no permit is free.
        """
        if self._batches >= self._max_batches:
            raise Overloaded(f"the server is busy with {self._batches} batches and accepts no more; try again shortly")
        with self.caller_permit():
            self._batches += 1
            try:
                yield
            finally:
                self._batches -= 1

    @contextmanager
    def photo_permit(self) -> Iterator[PhotoPermit]:
        """A permit that is still to be acquired; released after the block, when its threads have ended."""
        permit = PhotoPermit(self._photos, self._large_photos, self._threads)
        try:
            yield permit
        finally:
            permit.release()

    @asynccontextmanager
    async def deadline(self) -> AsyncIterator[None]:
        """The time that a photo has until its detections are there. From then on, giving up would waste the work.

        Raises:
            DeadlineExceeded: the time is up; the block was cancelled.
        """
        try:
            async with asyncio.timeout(self.deadline_s) as limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceeded(
                f"the photo could not be screened within {self.deadline_s:g} seconds; try again shortly"
            ) from None

    def close(self) -> None:
        """Wait for the photo threads to end."""
        self._threads.shutdown(cancel_futures=True)


class PhotoPermit:
    """Permission to have a photo decoded in memory, and the threads to work on it.

    A thread cannot be stopped, and its memory is in use until it ends, even if the caller has left. The permit is
    released only then.

    Attributes:
        wanted: False once the caller has left or the deadline has passed.
        timings_ms: milliseconds by stage; `queue` is the waiting for permits and threads.
    """

    def __init__(self, photos: asyncio.Semaphore, large_photos: asyncio.Semaphore, threads: ThreadPoolExecutor) -> None:
        self.wanted = True
        self.timings_ms: defaultdict[str, float] = defaultdict(float)
        self._photos, self._large_photos, self._threads = photos, large_photos, threads
        self._acquired: list[asyncio.Semaphore] = []
        self._work: asyncio.Future[Any] | None = None

    async def acquire(self, *, large: bool = False) -> None:
        """Wait for the permit, or for that of a large photo."""
        asked = time.perf_counter()
        for semaphore in (self._large_photos, self._photos) if large else (self._photos,):
            await semaphore.acquire()
            self._acquired.append(semaphore)
        self.timings_ms["queue"] += (time.perf_counter() - asked) * 1000

    async def run(self, stage: str, work: Callable[[], T]) -> T:
        """The result of `work` in a photo thread; its time counts for the stage. Cancelling drops work not begun."""

        def timed() -> tuple[T, float]:
            started = time.perf_counter()
            return work(), (time.perf_counter() - started) * 1000

        asked = time.perf_counter()
        running = self._threads.submit(timed)
        self._work = asyncio.wrap_future(running)
        try:
            result, worked_ms = cast(tuple[T, float], await asyncio.shield(self._work))
        except asyncio.CancelledError:
            running.cancel()
            self.wanted = False
            # Retrieve the error, which is of no interest any more, before asyncio reports it.
            self._work.add_done_callback(lambda work: work.cancelled() or work.exception())
            raise
        self.timings_ms[stage] += worked_ms
        tracing.record(stage, worked_ms)
        self.timings_ms["queue"] += max(0.0, (time.perf_counter() - asked) * 1000 - worked_ms)
        return result

    def release(self) -> None:
        """Give the permit back: now, or when the thread has ended."""
        acquired, self._acquired = self._acquired, []

        def give_back(_: object = None) -> None:
            for semaphore in acquired:
                semaphore.release()

        if self._work is None or self._work.done():
            give_back()
        else:
            self._work.add_done_callback(give_back)


class UnfetchedPictures:
    """Pictures that wait for their clients to fetch them; beyond `max_bytes`, the oldest are dropped."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._by_owner: dict[object, dict[asyncio.Timeout, int]] = {}

    @property
    def size(self) -> int:
        """Bytes of all pictures."""
        return sum(sum(sizes.values()) for sizes in self._by_owner.values())

    @asynccontextmanager
    async def keep(self, owner: object, size: int) -> AsyncIterator[None]:
        """Count a picture while the block waits for its client. Beyond the bound, the oldest owner's are dropped.

        Args:
            owner: whose picture it is; an owner's new picture never drops its older ones.
            size: bytes.

        Raises:
            TimeoutError: raised in the block, if the picture was dropped.
        """
        async with asyncio.timeout(None) as limit:
            if size:
                self._by_owner.setdefault(owner, {})[limit] = size
                self._drop_oldest(owner)
            try:
                yield
            finally:
                own = self._by_owner.get(owner, {})
                own.pop(limit, None)
                if not own:
                    self._by_owner.pop(owner, None)

    def _drop_oldest(self, newest: object) -> None:
        while len(self._by_owner) > 1 and self.size > self.max_bytes:
            oldest = next(owner for owner in self._by_owner if owner is not newest)
            for limit in self._by_owner.pop(oldest):
                limit.reschedule(asyncio.get_running_loop().time())
