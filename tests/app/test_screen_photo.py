"""Permits and memory of photos in hand when their clients leave or their deadline passes."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app import screen_photo
from app.admission import LARGE_PIXELS, MAX_LARGE_PHOTOS, Admission
from app.detector.engine import Engine
from app.errors import DeadlineExceeded, PhotoTooCostly, PhotoTooLarge, UnreadablePhoto
from app.photo.decoding import Photo
from app.photo.limits import Limits
from app.screen_photo import Options, Screener
from tests.app.api.live_server import make_photo
from tests.app.detector.stand_ins import BUNDLE, Held
from tests.app.photo.pictures import HARD


class SlowDecoder:
    """In place of `decode`: photos that begin with L are large, and each is read until `gate` is set.

    Attributes:
        gate: ends what is being read.
        now: photos that are being read, large ones and others.
        most: the highest `now`.
        begun: how many were begun.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.now = {True: 0, False: 0}
        self.most = {True: 0, False: 0}
        self.begun = 0
        self._lock = threading.Lock()

    def __call__(self, data: bytes, limits: Limits, **_: Any) -> Photo:
        """Ends with an error; what becomes of a photo that was read is of no matter here."""
        large = data.startswith(b"L")
        if large and limits.max_pixels <= LARGE_PIXELS:
            raise PhotoTooLarge("large")
        with self._lock:
            self.begun += 1
            self.now[large] += 1
            self.most[large] = max(self.most[large], self.now[large])
        self.gate.wait(30)
        with self._lock:
            self.now[large] -= 1
        raise UnreadablePhoto("read")


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDecoder]:
    """Takes the place of the decoder."""
    slow = SlowDecoder()
    monkeypatch.setattr(screen_photo, "decode", slow)
    yield slow
    slow.gate.set()


def screening(admission: Admission, data: bytes) -> asyncio.Task[Any]:
    engine: Any = SimpleNamespace(bundle=BUNDLE)
    return asyncio.create_task(Screener(admission).screen(data, Options(), engine))


async def until(condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.01)


async def can_acquire(admission: Admission) -> bool:
    """Whether a permit is free, once others have had the chance to take it."""
    await asyncio.sleep(0.01)
    with admission.photo_permit() as permit:
        try:
            async with asyncio.timeout(0.05):
                await permit.acquire()
        except TimeoutError:
            return False
    return True


async def acquire_all_permits(admission: Admission) -> None:
    """Succeeds once four photos, two of them large, may be opened, and no more."""
    with ExitStack() as stack:

        async def acquire(seconds: float, *, large: bool = False) -> None:
            async with asyncio.timeout(seconds):
                await stack.enter_context(admission.photo_permit()).acquire(large=large)

        for _ in range(MAX_LARGE_PHOTOS):
            await acquire(20, large=True)
        for _ in range(4 - MAX_LARGE_PHOTOS):
            await acquire(20)
        with pytest.raises(TimeoutError):
            await acquire(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("leaves", ["the client", "the deadline"])
@pytest.mark.parametrize(("data", "most"), [(b"L", MAX_LARGE_PHOTOS), (b"s", 4)])
def test_an_abandoned_photo_keeps_its_permit_until_it_is_decoded(
    decoder: SlowDecoder, leaves: str, data: bytes, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, unhandled = data == b"L", []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        with closing(Admission(photos_open=4)) as admission:

            def within(deadline_s: float) -> asyncio.Task[Any]:
                monkeypatch.setattr(admission, "deadline_s", deadline_s)
                return screening(admission, data)

            for number in range(most):
                task = within(30 if leaves == "the client" else 0.5)
                await until(lambda number=number: decoder.begun == number + 1)
                if leaves == "the client":
                    task.cancel()
                with pytest.raises((asyncio.CancelledError, DeadlineExceeded)):
                    await task
            late = within(0.2)
            with pytest.raises(DeadlineExceeded):
                await late
            waiting = within(30)
            await asyncio.sleep(0.2)
            assert decoder.begun == decoder.now[large] == most, "another was begun while those were still read"
            decoder.gate.set()
            with pytest.raises(UnreadablePhoto):
                await waiting
            assert decoder.most[large] <= most
            await acquire_all_permits(admission)

    asyncio.run(run())
    gc.collect()
    assert not unhandled


def test_a_photo_that_waits_for_a_thread_is_dropped_when_its_client_leaves(decoder: SlowDecoder) -> None:
    async def run() -> None:
        with closing(Admission(photos_open=1)) as admission:
            with admission.photo_permit() as busy:
                thread = asyncio.create_task(busy.run("decode", lambda: decoder.gate.wait(30)))
                task = screening(admission, b"s")
                while await can_acquire(admission):
                    pass
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                while not await can_acquire(admission):
                    pass
                decoder.gate.set()
                await thread
            await asyncio.to_thread(admission.close)
            assert decoder.begun == 0

    asyncio.run(run())


def test_a_photo_that_takes_too_long_to_decode_is_begun_once(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def costly(data: bytes, limits: Limits, **_: Any) -> Photo:
        begun.append(limits.max_pixels)
        raise PhotoTooCostly("it takes too long")

    monkeypatch.setattr(screen_photo, "decode", costly)

    async def run() -> None:
        with closing(Admission()) as admission, pytest.raises(PhotoTooCostly):
            await screening(admission, b"tiles")

    asyncio.run(run())
    assert begun == [LARGE_PIXELS]


def test_decoding_stops_at_the_deadline() -> None:
    """The photo would take minutes; its permit is free, and admission closed, soon after the deadline."""

    async def run() -> None:
        with closing(Admission(deadline_s=1)) as admission, pytest.raises(DeadlineExceeded, match="within 1 seconds"):
            await screening(admission, HARD)

    started = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - started < 10


def test_a_photo_that_waits_for_the_detector_beyond_the_deadline_is_withdrawn() -> None:
    held = Held()
    engine = Engine(BUNDLE, lambda: held)
    engine.start()
    held.seen.clear()
    held.gate.clear()
    blocker = engine.submit(np.full((8, 8, 3), 1, np.uint8))

    async def run() -> None:
        with closing(Admission(deadline_s=0.3)) as admission:
            with pytest.raises(DeadlineExceeded, match=r"within 0\.3 seconds"):
                await Screener(admission).screen(make_photo(), Options(), engine)
            await until(lambda: engine.waiting == 0)
            await acquire_all_permits(admission)

    asyncio.run(run())
    held.gate.set()
    blocker.result(5)
    engine.close()
    assert held.seen == [1]
