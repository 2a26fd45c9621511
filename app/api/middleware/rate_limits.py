"""How often somebody may do something in a minute. Counted in this process; a minute begins with the first time."""

from __future__ import annotations

import ipaddress
import math
import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter
from starlette.types import Scope

from app.errors import TooManyRequests


class MinuteLimit:
    """A limit of so many times a minute, for each who."""

    def __init__(self, times: int, what: str) -> None:
        """Makes a limit that nobody has used yet.

        Args:
            times: allowed in a minute; 0 for any number.
            what: is counted, as the refusal names it.
        """
        self._what = what
        self._item = RateLimitItemPerMinute(times) if times else None
        self._storage = MemoryStorage()
        self._limiter = FixedWindowRateLimiter(self._storage)

    async def check(self, *who: str) -> None:
        """Counts nothing.

        Raises:
            TooManyRequests: the next one would pass the limit.
        """
        if self._item is not None and not await self._limiter.test(self._item, *who):
            await self._refuse(self._item, *who)

    async def count(self, *who: str, times: int = 1) -> None:
        """Counts one, or several; what is refused is not counted, so that fewer may still pass.

        Raises:
            TooManyRequests: it passes the limit.
        """
        if self._item is None:
            return
        if not (
            await self._limiter.test(self._item, *who, cost=times)
            and await self._limiter.hit(self._item, *who, cost=times)
        ):
            await self._refuse(self._item, *who)

    async def _refuse(self, item: RateLimitItemPerMinute, *who: str) -> None:
        window = await self._limiter.get_window_stats(item, *who)
        seconds = max(1, math.ceil(window.reset_time - time.time()))
        raise TooManyRequests(
            f"more than {item.amount} {self._what} came within a minute; try again in {seconds} seconds", seconds
        )


def address_of(scope: Scope) -> str:
    """The client's address; of IPv6 the network of 64 bits, all of whose addresses one client may use."""
    host: str = (scope.get("client") or ("unknown", 0))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))
