"""The state of one application: settings, metrics, screener and live models, with readiness and reloads."""

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request

from app.admission import Admission
from app.detector.engine import Engine
from app.detector.live_models import LiveModels
from app.detector.runtimes import Runtime
from app.detector.store_watch import StoreWatch
from app.errors import CariesError, NotReady, ReloadRunning, ShuttingDown
from app.process.memory import FREE_PAGES_S, return_free_pages, unmap_pages
from app.process.metrics import Metrics
from app.reviews import open_store
from app.screen_photo import STAGES, ScreenedPhoto, Screener
from app.settings import Settings

logger = logging.getLogger(__name__)


class Service:
    """The state of one application, whose arguments are described in `create_app`.

    Attributes:
        models: the live ones; none before the warm-up.
        draining: readiness is off; requests are still accepted, and answered with `Connection: close`.
        closed: no more requests are accepted; accepted ones are answered.
        reviews: the review store, if the settings name one.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        load: Callable[..., Runtime] | None = None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.models = LiveModels(settings, load=load)
        self.draining = False
        self.closed = False
        self.reviews = open_store(settings) if settings.reviews else None
        if self.reviews is not None:
            self.reviews.settle()
        self._on_failure = on_failure
        self._screener: Screener | None = None
        self._failed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.metrics.watch_queue(lambda: self._screener.admission.callers if self._screener else 0)
        self.metrics.watch_ready(lambda: self.ready)

    @property
    def screener(self) -> Screener:
        """Screens photos.

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
        """The engine of the default model once it is warm."""
        return next(iter(self.models.engines), None)

    @property
    def ready(self) -> bool:
        """Whether the server is ready for photos."""
        try:
            self.check_ready()
        except CariesError:
            return False
        return True

    def check_ready(self) -> None:
        """Return if the server is ready for photos.

        Raises:
            ShuttingDown: the server is draining.
            NotReady: the default detector is not warm yet, could not be loaded, or has no running worker.
        """
        if self.draining:
            raise ShuttingDown("the server is shutting down; send photos to another one")
        _ = self.screener
        if self.live is None or not self.live.ready:
            raise NotReady("the detector has stopped; the cause is in the server's log")

    def count(self, screened: ScreenedPhoto) -> None:
        """Count a photo. Without a picture, drawing and encoding took 0 ms, which would distort their times."""
        stages = STAGES if screened.picture else [stage for stage in STAGES if stage not in ("draw", "encode")]
        self.metrics.screened(
            screened.screening.verdict.value,
            tuple(reason.value for reason in screened.screening.reasons),
            screened.screening.shown.scores.tolist(),
            {stage: screened.timings_ms[stage] for stage in stages},
        )

    async def reload(self, name: str | None = None, version: int | None = None) -> list[Engine]:
        """Replace live models, see `LiveModels.reload`; count and log it.

        Raises:
            CariesError: the reload is refused; the live models stay.
        """
        try:
            _ = self.screener
            started = await self.models.reload(name, version)
        except CariesError as error:
            raise type(error)(self._count_refusal(error)) from error
        self._count_reload(started)
        return started

    def reload_soon(self) -> None:
        """Replace the live models by those of the settings and log the outcome. For signals."""

        async def reload() -> None:
            with contextlib.suppress(CariesError):
                await self.reload()

        self._run_until_closed(reload())

    def _run_until_closed(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the detectors in the background, so that the server answers immediately, and close them at the end."""
        loading = asyncio.create_task(self._start())
        freeing = asyncio.create_task(_return_free_pages())
        try:
            yield
        finally:
            freeing.cancel()
            await loading
            for task in self._tasks:
                task.cancel()
            await self.models.close()
            if self._screener is not None:
                screener, self._screener = self._screener, None
                await asyncio.to_thread(screener.close)
            if self.reviews is not None:
                self.reviews.close()

    async def _start(self) -> None:
        started = time.monotonic()
        try:
            await self.models.start()
        except Exception as error:
            self._failed = True
            if isinstance(error, CariesError):
                logger.error("the detector could not be loaded: %s", error)
            else:
                logger.exception("the detector could not be loaded")
            self._on_failure()
            return
        self._name_live_models()
        self._screener = Screener(Admission.from_settings(self.settings), self.settings.limits)
        for engine in self.models.engines:
            logger.info("ready: %s, %.1f s", _describe(engine), time.monotonic() - started)
        # The start leaves garbage that an idle server would keep.
        gc.collect()
        return_free_pages()
        unmap_pages("pydantic_core", code_only=True)  # most of it builds validators
        if self.settings.watch_s:
            self._run_until_closed(self._watch())

    async def _watch(self) -> None:
        """Reload what changes in the store, until cancelled."""
        watch, trouble = StoreWatch(), ""
        while True:
            await asyncio.sleep(self.settings.watch_s)
            if self.models.reloading:
                continue
            try:
                folders = await asyncio.to_thread(self.models.followed)
                changed = [name for name in folders if await asyncio.to_thread(watch.changed, folders[name])]
            except OSError as error:
                if str(error) != trouble:
                    logger.warning("the model store cannot be read: %s", error)
                trouble = str(error)
                continue
            for name in changed:
                try:
                    started = await self.models.follow(name)
                except CariesError as error:
                    self._count_refusal(error)
                    continue
                # The live bundle is checked as well; that it is unchanged is not worth a line.
                if started:
                    self._count_reload(started)

    def _count_reload(self, started: list[Engine]) -> None:
        self.metrics.reload("loaded" if started else "unchanged")
        self._name_live_models()
        for engine in started:
            logger.info("reloaded: %s is live", _describe(engine))
        if not started:
            logger.info("reloaded: nothing new in the store, still live: %s", self._live())

    def _count_refusal(self, error: CariesError) -> str:
        """Count and log a refusal; its message, with what stays live."""
        self.metrics.reload("busy" if isinstance(error, ReloadRunning) else "refused")
        text = f"{error}; live: {self._live() or 'none'}"
        logger.warning("reload refused: %s", text)
        return text

    def _live(self) -> str:
        return ", ".join(f"{engine.bundle.name} {engine.bundle.version}" for engine in self.models.engines)

    def _name_live_models(self) -> None:
        self.metrics.live(
            {
                "name": engine.bundle.name,
                "version": str(engine.bundle.version),
                "sha256": engine.bundle.sha256,
                "runtime": engine.runtime.name,
                "device": engine.runtime.device,
            }
            for engine in self.models.engines
        )


async def _return_free_pages() -> None:
    while True:
        await asyncio.sleep(FREE_PAGES_S)
        await asyncio.to_thread(return_free_pages)


def service_of(request: Request) -> Service:
    """The service of the request's application."""
    service: Service = request.app.state.service
    return service


def _describe(engine: Engine) -> str:
    bundle, runtime = engine.bundle, engine.runtime
    return f"{bundle.name} {bundle.version} on {runtime.name} ({runtime.device})"
