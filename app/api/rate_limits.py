"""Rate limits per minute, counted in this process. A client's minute begins with its first request."""

import ipaddress
import math
import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter
from starlette.types import Scope

from app.errors import TooManyRequests


class MinuteLimit:
    """A limit of `times` per minute for each client, where 0 sets no limit; `what` is the plural noun of refusals."""

    def __init__(self, times: int, what: str) -> None:
        self._what = what
        self._item = RateLimitItemPerMinute(times) if times else None
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    async def check(self, *client: str) -> None:
        """Count nothing.

        Raises:
            TooManyRequests: the next one would exceed the limit.
        """
        if self._item is not None and not await self._limiter.test(self._item, *client):
            await self._refuse(self._item, *client)

    async def count(self, *client: str, times: int = 1) -> None:
        """Count one or several. A refusal counts nothing, so that a smaller number may still pass.

        Raises:
            TooManyRequests: the limit is exceeded.
        """
        if self._item is None:
            return
        if not (
            await self._limiter.test(self._item, *client, cost=times)
            and await self._limiter.hit(self._item, *client, cost=times)
        ):
            await self._refuse(self._item, *client)

    async def _refuse(self, item: RateLimitItemPerMinute, *client: str) -> None:
        window = await self._limiter.get_window_stats(item, *client)
        seconds = max(1, math.ceil(window.reset_time - time.time()))
        raise TooManyRequests(
            f"more than {item.amount} {self._what} within a minute; try again in {seconds} seconds", seconds
        )


def address_of(scope: Scope) -> str:
    """The client's address; for IPv6 its /64 network, since one client may use all addresses of it."""
    host: str = (scope.get("client") or ("unknown", 0))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))
