"""Rate limits per minute, counted in this process or in Redis. A client's minute begins with its first request."""

from __future__ import annotations

import ipaddress
import logging
import math
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Any, TypeVar

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter, RateLimiter
from limits.errors import StorageError
from starlette.types import Scope

from app.errors import SettingsError, TooManyRequests
from app.settings import CounterLocation, variable

REDIS_S = 0.5
"""Seconds that Redis may take to connect or to answer."""

RETRY_S = 5.0
"""Seconds after a failure of Redis in which it is not asked again."""

CONNECTIONS = 16
"""Connections to Redis; further requests wait for one."""

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Counters:
    """Where requests are counted: in Redis, and in this process while Redis is unreachable or if there is none."""

    def __init__(self, location: CounterLocation | None = None) -> None:
        """Raise SettingsError if a location is given and the extra `redis` is not installed."""
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._shared = _in_redis(location) if location is not None else None
        self._location = location
        self._ask_again_at = 0.0

    async def use(self, operation: Callable[[RateLimiter], Awaitable[T]]) -> T:
        """The result of an operation on the counters."""
        if self._shared is not None and time.monotonic() >= self._ask_again_at:
            try:
                return await operation(self._shared)
            except StorageError as error:
                self._ask_again_at = time.monotonic() + RETRY_S
                logger.warning(
                    "%s cannot be reached; this server counts requests alone: %s", self._location, error.storage_error
                )
        return await operation(self._own)


class MinuteLimit:
    """A limit of `times` per minute for each client, where 0 sets no limit; `what` is the plural noun of refusals."""

    def __init__(self, times: int, what: str, counters: Counters | None = None) -> None:
        """Count in `counters`, by default in this process."""
        self._what = what
        self._item = RateLimitItemPerMinute(times, namespace=f"caries {what}") if times else None
        self._counters = counters or Counters()

    async def check(self, *client: str) -> None:
        """Count nothing.

        Raises:
            TooManyRequests: the next one would exceed the limit.
        """
        if (item := self._item) is None:
            return
        if not await self._counters.use(lambda on: on.test(item, *client)):
            await self._refuse(item, *client)

    async def count(self, *client: str, times: int = 1) -> None:
        """Count one or several. A refusal counts nothing, so that a smaller number may still pass.

        Raises:
            TooManyRequests: the limit is exceeded.
        """
        if (item := self._item) is None:
            return

        async def fits(counted: RateLimiter) -> bool:
            is_free = await counted.test(item, *client, cost=times)
            return is_free and await counted.hit(item, *client, cost=times)

        if not await self._counters.use(fits):
            await self._refuse(item, *client)

    async def _refuse(self, item: RateLimitItemPerMinute, *client: str) -> None:
        window = await self._counters.use(lambda on: on.get_window_stats(item, *client))
        seconds = max(1, math.ceil(window.reset_time - time.time()))
        raise TooManyRequests(
            f"more than {item.amount} {self._what} within a minute; try again in {seconds} seconds", seconds
        )


def _in_redis(location: CounterLocation) -> RateLimiter:
    if find_spec("redis") is None:
        raise SettingsError(
            f"{variable('rate_limits')} needs redis, not installed here; run: pip install 'caries-screen[redis]'"
        )
    from redis.asyncio import BlockingConnectionPool
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    limits: dict[str, Any] = {
        "max_connections": CONNECTIONS,
        "timeout": REDIS_S,
        "socket_timeout": REDIS_S,
        "socket_connect_timeout": REDIS_S,
        "retry": Retry(NoBackoff(), 1),  # for connections from before a restart of Redis
    }
    options: dict[str, Any] = {"connection_pool": BlockingConnectionPool.from_url(location.url, **limits)}
    return FixedWindowRateLimiter(RedisStorage(location.url, wrap_exceptions=True, implementation="redispy", **options))


def address_of(scope: Scope) -> str:
    """The client's address; for IPv6 its /64 network, since one client may use all addresses of it."""
    host: str = (scope.get("client") or ("unknown", 0))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))
