"""The live models: which engines answer, and how one is replaced while photos are being screened.

A replacement is verified, started and warmed next to the engine that answers, then replaces it. Photos in progress
finish on the engine that they started on, which is closed when its last one is done. Each live model has an engine.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.detector.bundle import Bundle, find_bundle, read_bundle, replaced_by, replacements
from app.detector.engine import Engine, build_engine
from app.detector.runtimes import Runtime
from app.errors import BundleError, CariesError, ReloadRefused, ReloadRunning, UnknownModel
from app.settings import Settings

logger = logging.getLogger(__name__)

SCREENED_CLASS = "caries"
"""The class that verdicts are about."""


@dataclass(slots=True)
class LiveModel:
    """A model that answers.

    Attributes:
        engine: started and warm.
        version: the requested version; None follows the newest.
        users: photos that need the engine.
        replaced: close the engine after its last user.
    """

    engine: Engine
    version: int | None
    users: int = 0
    replaced: bool = False


class LiveModels:
    """The engines of one server by model name. Belongs to one event loop.

    Attributes:
        default: name of the model that answers requests without a name.
    """

    def __init__(self, settings: Settings, *, load: Callable[..., Runtime] | None = None) -> None:
        """Args: the settings; creates the runtimes, see `build_engine`."""
        self.default = ""
        self._first = ""
        self._settings = settings
        self._load = load
        self._live: dict[str, LiveModel] = {}
        self._replacements: dict[str, str] = {}
        self._replacing: asyncio.Task[list[Engine]] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def engines(self) -> list[Engine]:
        """The live engines, the default one first."""
        engines = [live.engine for live in self._live.values()]
        return sorted(engines, key=lambda engine: engine.bundle.name != self.default)

    @property
    def reloading(self) -> bool:
        """Whether a replacement is being prepared."""
        return self._replacing is not None and not self._replacing.done()

    async def start(self) -> None:
        """Start the engines of the models in the settings.

        Raises:
            CariesError: one of them cannot be started; none runs then.
        """
        settings = self._settings
        first = await asyncio.to_thread(find_bundle, settings.model_store, settings.model, settings.model_version)
        self.default = self._first = first.parent.name
        if self.default in dict(settings.models):
            raise UnknownModel(f"{self.default} is the default model and cannot be live a second time")
        await self._replace(self._asked())

    @contextmanager
    def use(self, name: str | None = None) -> Iterator[Engine]:
        """A live engine, which stays open for the length of the block.

        Args:
            name: of the model; None means the default.

        Raises:
            UnknownModel: no model of that name is live.
        """
        live = self._live.get(self.default if name is None else name)
        if live is None:
            text = f"{(name or '')[:60]!r} is not live; live are {', '.join(sorted(self._live))}"
            raise UnknownModel(text + replaced_by(self._replacements.get(name or "")))
        live.users += 1
        try:
            yield live.engine
        finally:
            live.users -= 1
            self._close_unused(live)

    async def reload(self, name: str | None = None, version: int | None = None) -> list[Engine]:
        """Replace live models. A refused reload changes nothing.

        Without arguments, every model is replaced as the settings say.

        Args:
            name: of a live model, to replace it by another version; or of any other, to make it the default. None means
                the default model.
            version: pinned until the next reload; None means the newest.

        Returns:
            The engines that were started; empty if everything requested is live already.

        Raises:
            UnknownModel: the store does not contain it.
            ReloadRefused: it cannot be used; gives the reason.
            ReloadRunning: another reload is running.
        """
        if name is None and version is None:
            return await self._replace_unless_busy(self._asked())
        slot = self.default if name is None or name not in self._live else name
        return await self._replace_unless_busy({slot: (name or slot, version)})

    async def follow(self, name: str) -> list[Engine]:
        """Replace a live model by the newest version, or by the one it is pinned to; see `reload`."""
        live = self._live.get(name)
        return await self._replace_unless_busy({name: (name, live.version)}) if live else []

    def followed(self) -> dict[str, Path]:
        """The folder that each live model would be loaded from, if the store contains it."""
        folders = {}
        for name, live in list(self._live.items()):
            try:
                folders[name] = find_bundle(self._settings.model_store, name, live.version)
            except UnknownModel:
                continue
        return folders

    async def close(self) -> None:
        """Close all engines: running inferences end, waiting photos are withdrawn."""
        if self._replacing is not None:
            await asyncio.wait([self._replacing])
        closing, self._live = self.engines, {}
        await asyncio.gather(*self._closing, *(asyncio.to_thread(engine.close) for engine in closing))

    def _asked(self) -> dict[str, tuple[str, int | None]]:
        """What the settings request for each live model: name, and version or None for the newest."""
        settings = self._settings
        further = {name: (name, version) for name, version in settings.models}
        # Not the first by name: another model may have been copied into the store since.
        return {self.default: (settings.model or self._first, settings.model_version), **further}

    async def _replace_unless_busy(self, wanted: Mapping[str, tuple[str, int | None]]) -> list[Engine]:
        if self.reloading:
            raise ReloadRunning("another reload is running; try again when it is done")
        self._replacing = asyncio.create_task(self._replace(wanted))
        try:
            # The caller may leave; a half-started engine must still replace the old one or be closed.
            return await asyncio.shield(self._replacing)
        except UnknownModel as error:
            raise UnknownModel(self._without_store(error)) from error
        except CariesError as error:
            raise ReloadRefused(self._without_store(error)) from error
        except Exception as error:
            logger.exception("a bundle could not be started")
            raise ReloadRefused("the detector could not be started; the cause is in the server's log") from error

    async def _replace(self, wanted: Mapping[str, tuple[str, int | None]]) -> list[Engine]:
        """Start every engine that is not live, then make all of them live, or none."""
        started: dict[str, Engine] = {}
        try:
            for slot, (name, version) in wanted.items():
                live = self._live.get(slot)
                engine = await asyncio.to_thread(self._start, name, version, live.engine if live else None)
                if engine is not None:
                    started[slot] = engine
            # Read here, so that refusing a request needs no file.
            self._replacements = await asyncio.to_thread(replacements, self._settings.model_store)
        except BaseException:
            for engine in started.values():
                await asyncio.to_thread(engine.close)
            raise
        default = wanted[self.default][0] if self.default in wanted else self.default
        for slot, (name, version) in wanted.items():
            if slot in started:
                if (old := self._live.pop(slot, None)) is not None:
                    old.replaced = True
                    self._close_unused(old)
                self._live[name] = LiveModel(started[slot], version)
            else:
                self._live[name].version = version
        self.default = default
        return list(started.values())

    def _start(self, name: str, version: int | None, replaced: Engine | None) -> Engine | None:
        """A warm engine for a bundle of the store; None if that bundle is live already."""
        path = find_bundle(self._settings.model_store, name, version)
        bundle = read_bundle(path)
        _check(bundle, path, replaced.bundle if replaced else None)
        # The manifest, and so its hash, includes the name and the version.
        if replaced is not None and replaced.ready and bundle.sha256 == replaced.bundle.sha256:
            return None
        engine = build_engine(bundle, self._settings, load=self._load)
        engine.start()
        return engine

    def _close_unused(self, live: LiveModel) -> None:
        if live.replaced and live.users == 0:
            task = asyncio.create_task(asyncio.to_thread(live.engine.close))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _without_store(self, error: Exception) -> str:
        store = str(self._settings.model_store)
        return str(error).replace(f"{store}/", "").replace(f" {store}", "")


def _check(bundle: Bundle, path: Path, replaced: Bundle | None) -> None:
    """Refuse a bundle whose answers would not mean what clients expect.

    Raises:
        BundleError: says what is wrong.
    """
    if (bundle.name, str(bundle.version)) != (path.parent.name, path.name):
        raise BundleError(f"{path} contains {bundle.name} {bundle.version}")
    screened = bundle.class_names[bundle.screened_class_id]
    if screened != SCREENED_CLASS:
        raise BundleError(f"{path} screens for {screened!r}; it must screen for {SCREENED_CLASS!r}")
    if replaced is not None and dict(bundle.class_names) != dict(replaced.class_names):
        found, expected = (
            ", ".join(f"{number} {name}" for number, name in sorted(one.class_names.items()))
            for one in (bundle, replaced)
        )
        raise BundleError(f"{path} has the classes {found}; expected are {expected}, as those of {replaced.name}")
