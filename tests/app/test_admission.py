import asyncio
from contextlib import ExitStack, closing

import pytest

from app.admission import Admission, UnfetchedPictures
from app.errors import DeadlineExceeded, Overloaded


def test_callers_beyond_the_bound_are_refused() -> None:
    with closing(Admission(photos_open=2, queue=1)) as admission:
        with ExitStack() as callers:
            assert admission.alone
            for _ in range(3):
                callers.enter_context(admission.caller_permit())
            assert (admission.callers, admission.alone) == (3, False)
            with pytest.raises(Overloaded, match="3 requests"), admission.caller_permit():
                pass
        assert admission.callers == 0


def test_batches_beyond_the_bound_are_refused_while_callers_are_admitted() -> None:
    with closing(Admission(batches_open=1)) as admission:
        with admission.batch_permit():
            with pytest.raises(Overloaded, match="1 batches"), admission.batch_permit():
                pass
            with admission.caller_permit():
                assert admission.callers == 2
        with admission.batch_permit():
            assert admission.callers == 1


@pytest.mark.parametrize(("photos_open", "concurrency"), [(1, 1), (2, 1), (4, 3)])
def test_batches_leave_a_photo_permit_to_others(photos_open: int, concurrency: int) -> None:
    with closing(Admission(photos_open=photos_open)) as admission:
        assert admission.batch_concurrency == concurrency


def test_the_deadline_cancels_the_block_and_no_other_timeout_is_mistaken_for_it() -> None:
    async def run() -> None:
        with closing(Admission(deadline_s=0.05)) as admission:
            with pytest.raises(DeadlineExceeded, match=r"within 0\.05 seconds"):
                async with admission.deadline():
                    await asyncio.sleep(10)
            with pytest.raises(TimeoutError):
                async with admission.deadline():
                    raise TimeoutError
        with closing(Admission()) as admission:
            async with admission.deadline():
                await asyncio.sleep(0.1)

    asyncio.run(run())


def test_the_oldest_pictures_are_dropped_when_others_need_the_memory() -> None:
    ended: list[str] = []

    async def run() -> None:
        pictures = UnfetchedPictures(100)

        async def keep(name: str, size: int, fetched: asyncio.Event) -> None:
            try:
                async with pictures.keep(name[0], size):
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
            ("d2", 300, ["a lost", "b lost"]),  # no other owner is left
            ("e", 10, ["a lost", "b lost", "d lost", "d2 lost"]),
        ):
            tasks.append(asyncio.create_task(keep(name, size, fetched)))
            await asyncio.sleep(0.01)
            assert sorted(ended) == lost, name
        fetched.set()
        await asyncio.gather(*tasks)
        assert sorted(ended[4:]) == ["c fetched", "e fetched"]
        assert pictures.size == 0

    asyncio.run(run())
