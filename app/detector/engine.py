"""The engine: one live bundle, a queue of decoded photos, and workers that detect them. Admission bounds the queue."""

import asyncio
import dataclasses
import functools
import time
from collections.abc import Callable
from concurrent.futures import Future

from app.detector.bundle import Bundle, find_bundle, read_bundle
from app.detector.photo_queue import Inference, Job, PhotoQueue
from app.detector.precision import PrecisionChoice, PrecisionChooser
from app.detector.runtimes import Pixels, Runtime, RuntimeOptions
from app.detector.runtimes.load import load_runtime, may_be_tensorflow
from app.detector.runtimes.process import WorkerProcess
from app.detector.worker_thread import WorkerThread
from app.errors import BundleError, InvalidParameter, RuntimeUnavailable
from app.process.cores import usable_cores
from app.settings import Isolation, Settings, variable

CLOSE_S = 2.0
"""Seconds until a closed engine kills the processes that still detect."""

MAX_WORKERS = 8
"""Workers if the settings leave their number open: about as many as the server's own process can keep busy."""

MAX_ALONE_THREADS = 4
"""Threads for a photo that is alone, likewise: the model is too small to gain from more."""


class Engine:
    """Runs one bundle's detector. Safe to call from any thread and from asyncio.

    Attributes:
        bundle: the live bundle.
        queue: photos that wait for a worker.
        workers: one thread for each runtime.
    """

    def __init__(
        self,
        bundle: Bundle,
        load: Callable[[], Runtime],
        *,
        load_first: Callable[[], Runtime] | None = None,
        workers: int = 1,
        batch_wait_s: float = 0.0,
        chooser: PrecisionChooser | None = None,
    ) -> None:
        """Prepare the workers; `start` starts them.

        Args:
            bundle: the live bundle.
            load: creates a runtime; each worker calls it in its thread.
            load_first: likewise for the first worker, which gets the photos that come alone; None means `load`.
            workers: number of workers.
            chooser: chose the precision, or will while the runtimes are created.
            batch_wait_s: seconds that an incomplete batch waits for more photos while there are several callers.
        """
        self.bundle = bundle
        self._chooser = chooser
        self.queue = PhotoQueue()
        loads = [load_first or load, *[load] * (workers - 1)]
        self.workers = [
            WorkerThread(f"engine-{number}", bundle, load_one, self.queue, batch_wait_s=batch_wait_s)
            for number, load_one in enumerate(loads, start=1)
        ]
        self._runtime: Runtime | None = None

    def start(self) -> None:
        """Start the workers and return when all of them are warm.

        Raises:
            CariesError: a runtime cannot be loaded; the engine is closed then.
        """
        self.queue.open()
        for worker in self.workers:
            worker.start()
        try:
            runtimes = [worker.warm.result() for worker in self.workers]
        except BaseException:
            self.close()
            raise
        self._runtime = runtimes[0]

    @property
    def ready(self) -> bool:
        """Whether photos are accepted and will be detected: started, not closed, and a worker is ready."""
        return self._runtime is not None and self.queue.is_open and any(worker.ready for worker in self.workers)

    @property
    def runtime(self) -> Runtime:
        """The first worker's first runtime; name and device are the same for all.

        Raises:
            RuntimeUnavailable: the engine is not started.
        """
        if self._runtime is None:
            raise RuntimeUnavailable("the detector is not loaded yet")
        return self._runtime

    @property
    def precision(self) -> PrecisionChoice | None:
        """The precision and why it was chosen; None if it was not."""
        return self._chooser.choice if self._chooser else None

    @property
    def waiting(self) -> int:
        """How many photos wait for a worker."""
        return len(self.queue)

    def submit(self, pixels: Pixels, *, alone: bool = True) -> Future[Inference]:
        """Queue a photo. Cancelling the future withdraws it, unless a worker has begun it.

        Args:
            pixels: the photo.
            alone: whether it may use all cores; False if the caller knows that others are on their way.

        Raises:
            RuntimeUnavailable: the engine is not started, closed, or has no worker that could start a runtime.
        """
        if self._runtime is None:
            raise RuntimeUnavailable("the detector is not running")
        job = Job(pixels, alone)
        self.queue.put(job)
        return job.future

    async def detect(self, pixels: Pixels, *, alone: bool = True) -> Inference:
        """As `submit`; raises WorkerDied if the photo's process ended. Cancelling the call withdraws the photo."""
        return await asyncio.wrap_future(self.submit(pixels, alone=alone))

    def close(self) -> None:
        """Withdraw the waiting photos, let running inferences end, and end the workers. May be called twice."""
        self.queue.close(RuntimeUnavailable("the detector is shutting down"))
        end = time.monotonic() + CLOSE_S
        for worker in self.workers:
            if worker.ident is None:
                continue
            worker.join(max(0.0, end - time.monotonic()))
            if worker.is_alive() and worker.runtime is not None:
                worker.runtime.kill()
            worker.join()


def build_engine_from_settings(settings: Settings, *, load: Callable[..., Runtime] | None = None) -> Engine:
    """The engine of the bundle that the settings name, not started; `load` as of `build_engine`.

    Raises:
        UnknownModel: the store does not contain the model.
        BundleError: its bundle is damaged.
    """
    bundle = read_bundle(find_bundle(settings.model_store, settings.model, settings.model_version))
    return build_engine(bundle, settings, load=load)


def build_engine(bundle: Bundle, settings: Settings, *, load: Callable[..., Runtime] | None = None) -> Engine:
    """The engine of a bundle, not started; its default operating point is that of the settings.

    Args:
        load: creates its runtimes in place of `load_runtime`.

    Raises:
        BundleError: the bundle does not have the operating point of the settings.
    """
    try:
        bundle = dataclasses.replace(bundle, operating_point=bundle.point(settings.operating_point))
    except InvalidParameter as error:
        raise BundleError(f"{variable('operating_point')} cannot be applied: {error}") from error
    load = load or (WorkerProcess if settings.isolation is Isolation.PROCESS else load_runtime)
    cores = usable_cores()
    litert = not may_be_tensorflow(bundle, settings.runtime)
    if settings.workers:
        workers = settings.workers
    elif not litert:
        workers = 1  # it uses all cores for one inference, or one batch; a second copy would take half a gigabyte more
    else:
        workers = min(max(1, cores // (settings.threads or 1)), MAX_WORKERS)
    threads = settings.threads or max(1, cores // workers)
    chooser = PrecisionChooser(bundle, settings.precision, litert=litert, state=settings.state)
    options: RuntimeOptions = {"threads": threads, "batch_size": settings.batch_size}
    options |= {"chooser": chooser} if chooser.chosen is None else {"precision": chooser.chosen}
    start = functools.partial(load, bundle, settings.runtime, **options)
    alone_threads = settings.threads or min(cores, max(threads, MAX_ALONE_THREADS))
    start_first = functools.partial(start, alone_threads=alone_threads)
    wait_s = settings.batch_wait_ms / 1000
    return Engine(bundle, start, load_first=start_first, workers=workers, batch_wait_s=wait_s, chooser=chooser)
