"""Limits per minute, and the addresses that they count."""

import asyncio
import time

import pytest

from app.api.rate_limits import MinuteLimit, address_of
from app.errors import TooManyRequests


def test_a_limit_ends_with_its_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use() -> None:
        limit, begun = MinuteLimit(1, "requests"), time.time()
        await limit.check("a")
        await limit.count("a")
        with pytest.raises(TooManyRequests):
            await limit.check("a")
        with pytest.raises(TooManyRequests) as refused:
            await limit.count("a")
        await limit.count("b")
        monkeypatch.setattr(time, "time", lambda: begun + refused.value.retry_after_s + 0.5)
        await limit.count("a")

    asyncio.run(use())


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("10.1.2.3", 5), "10.1.2.3"),
        (("2001:db8:1:2:3:4:5:6", 5), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 5), "fe80::/64"),
        (("/run/caries.sock", 0), "/run/caries.sock"),
        (None, "unknown"),
    ],
)
def test_address(client: tuple[str, int] | None, address: str) -> None:
    assert address_of({"type": "http", "client": client}) == address
