"""Places and memory of photos in hand, whoever has left or is late."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from app import screen_photo
from app.errors import DeadlineExceeded, PhotoTooCostly, PhotoTooLarge, UnreadablePhoto
from app.photo.decoding import Photo
from app.photo.limits import Limits
from app.screen_photo import LARGE_AT_ONCE, LARGE_PIXELS, Options, Screener
from tests.app.photo.test_heic import HARD

BUNDLE = SimpleNamespace(input_height=32, input_width=32)


class SlowDecoder:
    """In place of `decode`: photos that begin with L are large, and each is read until `gate` is set.

    Attributes:
        gate: ends what is being read.
        now: photos that are being read, large ones and others.
        most: at once, likewise.
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


def screening(screener: Screener, data: bytes, deadline_s: float = 30) -> asyncio.Task[Any]:
    engine: Any = SimpleNamespace(deadline_s=deadline_s, bundle=BUNDLE)
    return asyncio.create_task(screener.screen(data, Options(), engine))


async def until(condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("leaves", ["the client", "the deadline"])
@pytest.mark.parametrize(("data", "most"), [(b"L", LARGE_AT_ONCE), (b"s", 4)])
def test_a_photo_that_nobody_waits_for_has_its_place_until_it_is_read(
    decoder: SlowDecoder, leaves: str, data: bytes, most: int
) -> None:
    large, unhandled = data == b"L", []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        with closing(Screener(photos_open=4)) as screener:
            for number in range(most):
                task = screening(screener, data, 30 if leaves == "the client" else 0.5)
                await until(lambda number=number: decoder.begun == number + 1)
                if leaves == "the client":
                    task.cancel()
                with pytest.raises((asyncio.CancelledError, DeadlineExceeded)):
                    await task
            late = screening(screener, data, 0.2)
            with pytest.raises(DeadlineExceeded):
                await late
            waiting = screening(screener, data)
            await asyncio.sleep(0.2)
            assert decoder.begun == decoder.now[large] == most, "another was begun while those were still read"
            decoder.gate.set()
            with pytest.raises(UnreadablePhoto):
                await waiting
            assert decoder.most[large] <= most
            await until(lambda: screener._places._value == 4 and screener._large_places._value == LARGE_AT_ONCE)

    asyncio.run(run())
    gc.collect()
    assert not unhandled


def test_a_photo_that_waits_for_a_thread_is_dropped_when_its_client_leaves(decoder: SlowDecoder) -> None:
    async def run() -> None:
        with closing(Screener(photos_open=1)) as screener:
            screener._threads.submit(decoder.gate.wait, 30)
            task = screening(screener, b"s")
            await until(lambda: screener._places.locked())
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: not screener._places.locked())
            decoder.gate.set()
            await asyncio.to_thread(screener.close)
            assert decoder.begun == 0

    asyncio.run(run())


def test_who_has_kept_a_picture_longest_loses_it_when_others_need_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen_photo, "KEPT_PER_PLACE", 25)
    ended: list[str] = []

    async def run() -> None:
        with closing(Screener(photos_open=4)) as screener:

            async def keep(name: str, size: int, fetched: asyncio.Event) -> None:
                try:
                    async with screener.keep(name[0], size):
                        await fetched.wait()
                except TimeoutError:
                    ended.append(f"{name} lost")
                else:
                    ended.append(f"{name} fetched")

            fetched, tasks = asyncio.Event(), []
            for name, size, lost in (
                ("a", 50, []),
                ("b", 50, []),
                ("c", 0, []),
                ("d", 60, ["a lost", "b lost"]),
                ("d2", 300, ["a lost", "b lost"]),  # no more are there to lose theirs
                ("e", 10, ["a lost", "b lost", "d lost", "d2 lost"]),
            ):
                tasks.append(asyncio.create_task(keep(name, size, fetched)))
                await asyncio.sleep(0.01)
                assert sorted(ended) == lost, name
            fetched.set()
            await asyncio.gather(*tasks)
            assert sorted(ended[4:]) == ["c fetched", "e fetched"]
            assert not screener._kept

    asyncio.run(run())


def test_a_photo_that_takes_too_long_to_decode_is_begun_once(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def costly(data: bytes, limits: Limits, **_: Any) -> Photo:
        begun.append(limits.max_pixels)
        raise PhotoTooCostly("it takes too long")

    monkeypatch.setattr(screen_photo, "decode", costly)

    async def run() -> None:
        with closing(Screener()) as screener, pytest.raises(PhotoTooCostly):
            await screening(screener, b"tiles")

    asyncio.run(run())
    assert begun == [LARGE_PIXELS]


def test_what_is_late_is_not_decoded_to_its_end() -> None:
    """The photo takes minutes; its place is free, and the screener closed, soon after its deadline."""

    async def run() -> None:
        with closing(Screener()) as screener, pytest.raises(DeadlineExceeded):
            await screening(screener, HARD, deadline_s=1)

    started = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - started < 10
