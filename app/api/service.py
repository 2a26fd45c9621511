"""What one application holds while it runs: settings, metrics, and the screener once its detector is warm."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import Request

from app.api.problems import NotReady
from app.engine import Engine, open_engine
from app.errors import CariesError
from app.metrics import Metrics
from app.runtimes import Runtime
from app.screen_photo import Screener
from app.settings import Settings

logger = logging.getLogger(__name__)


class Service:
    """The state of one application.

    Attributes:
        settings: as the application was made with.
        metrics: of this application alone.
    """

    def __init__(self, settings: Settings, load: Callable[..., Runtime] | None, on_failure: Callable[[], None]) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._load = load
        self._on_failure = on_failure
        self._screener: Screener | None = None
        self._failed = False
        self.metrics.watch_queue(lambda: self._screener.admitted if self._screener else 0)

    @property
    def screener(self) -> Screener:
        """Takes photos.

        Raises:
            NotReady: the detector is not warm yet, or could not be loaded.
        """
        if self._failed:
            raise NotReady("the detector could not be loaded; the cause is in the server's log")
        if self._screener is None:
            raise NotReady("the detector is being loaded; try again shortly")
        return self._screener

    @property
    def live(self) -> Engine | None:
        """The engine once it is warm."""
        return self._screener.engine if self._screener else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Loads the detector in the background, so that the server answers at once, and closes it at the end."""
        loading = asyncio.create_task(self._start())
        try:
            yield
        finally:
            await loading
            if self._screener is not None:
                screener, self._screener = self._screener, None
                await asyncio.to_thread(screener.engine.close)
                await asyncio.to_thread(screener.close)

    async def _start(self) -> None:
        started = time.monotonic()
        try:
            engine = await asyncio.to_thread(open_engine, self.settings, load=self._load)
            await asyncio.to_thread(engine.start)
        except Exception as error:
            self._failed = True
            if isinstance(error, CariesError):
                logger.error("the detector could not be loaded: %s", error)
            else:
                logger.exception("the detector could not be loaded")
            self._on_failure()
            return
        bundle, runtime = engine.bundle, engine.runtime
        self.metrics.live(
            name=bundle.name,
            version=bundle.version,
            sha256=bundle.sha256,
            runtime=runtime.name,
            device=runtime.device,
        )
        self._screener = Screener.of_settings(engine, self.settings)
        seconds = time.monotonic() - started
        logger.info(
            "ready: %s %d on %s (%s), %.1f s", bundle.name, bundle.version, runtime.name, runtime.device, seconds
        )


def make_service(
    settings: Settings,
    *,
    load: Callable[..., Runtime] | None = None,
    on_failure: Callable[[], None] = lambda: None,
) -> Service:
    """A service that is not running yet.

    Args:
        settings: see `app.settings`.
        load: makes the runtimes, see `engine_of`.
        on_failure: called when the detector cannot be loaded.
    """
    return Service(settings, load, on_failure)


def service_of(request: Request) -> Service:
    """The service of the application that got the request."""
    service: Service = request.app.state.service
    return service
