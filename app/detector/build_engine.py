"""From settings and a bundle to an engine: where inference runs, and how the cores are shared."""

from __future__ import annotations

import functools
from collections.abc import Callable

from app.detector.bundle import Bundle, find_bundle, read_bundle
from app.detector.engine import Engine
from app.detector.runtimes import Runtime
from app.detector.runtimes.choice import may_be_tensorflow
from app.detector.runtimes.load import load_in_process, load_runtime
from app.process.cores import usable_cores
from app.settings import Isolation, Settings

MAX_WORKERS = 8
"""Workers if the settings leave their number open: about as many as the server's own process can keep busy."""

MAX_ALONE_THREADS = 4
"""Threads for a photo that is alone, likewise: the model is too small to gain from more."""


def open_engine(settings: Settings, *, load: Callable[..., Runtime] | None = None) -> Engine:
    """The engine of the bundle that the settings name, not started; `load` as of `build_engine`.

    Raises:
        UnknownModel: the store does not contain the model.
        BundleError: its bundle is damaged.
    """
    bundle = read_bundle(find_bundle(settings.model_store, settings.model, settings.model_version))
    return build_engine(bundle, settings, load=load)


def build_engine(bundle: Bundle, settings: Settings, *, load: Callable[..., Runtime] | None = None) -> Engine:
    """The engine of a bundle, not started.

    Args:
        bundle: the detector.
        settings: see `app.settings`.
        load: creates runtimes, with the arguments of `load_runtime`; None leaves it to the settings.
    """
    load = load or (load_in_process if settings.isolation is Isolation.PROCESS else load_runtime)
    cores = usable_cores()
    if settings.workers:
        workers = settings.workers
    elif may_be_tensorflow(bundle, settings.runtime):
        workers = 1  # it uses all cores for one inference, or one batch; a second copy would take half a gigabyte more
    else:
        workers = min(max(1, cores // (settings.threads or 1)), MAX_WORKERS)
    threads = settings.threads or max(1, cores // workers)
    start = functools.partial(
        load,
        bundle,
        settings.runtime,
        precision=settings.precision,
        threads=threads,
        batch_size=settings.batch_size,
    )
    alone_threads = settings.threads or min(cores, max(threads, MAX_ALONE_THREADS))
    return Engine(
        bundle,
        start,
        load_first=functools.partial(start, alone_threads=alone_threads),
        workers=workers,
        batch_wait_s=settings.batch_wait_ms / 1000,
    )
