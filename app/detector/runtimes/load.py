"""Load a bundle's detector, in the server's process or in its own."""

from __future__ import annotations

from typing import Unpack

from app.detector.bundle import Bundle
from app.detector.runtimes import Runtime, RuntimeOptions
from app.detector.runtimes.choice import choose_runtime
from app.detector.runtimes.litert import LiteRTRuntime
from app.detector.runtimes.process import WorkerProcess
from app.detector.runtimes.tensorflow import TensorFlowRuntime
from app.errors import RuntimeUnavailable
from app.settings import Precision, RuntimeKind


def load_runtime(bundle: Bundle, kind: str = RuntimeKind.AUTO, **options: Unpack[RuntimeOptions]) -> Runtime:
    """The detector of a bundle, loaded into this process.

    Raises:
        RuntimeUnavailable: the runtime is not installed or cannot run the bundle.
    """
    threads, precision = options.get("threads", 1), Precision(options.get("precision", Precision.FLOAT32))
    if choose_runtime(bundle, kind) is RuntimeKind.LITERT:
        return LiteRTRuntime(bundle.tflite(precision), threads=threads, alone_threads=options.get("alone_threads"))
    if precision is not Precision.FLOAT32:
        raise RuntimeUnavailable(f"the tensorflow runtime runs float32, not {precision}; use litert")
    batch_size = options.get("batch_size", 1)
    return TensorFlowRuntime(
        bundle.path, bundle.input_height, bundle.input_width, threads=threads, batch_size=batch_size
    )


def load_in_process(bundle: Bundle, kind: str = RuntimeKind.AUTO, **options: Unpack[RuntimeOptions]) -> WorkerProcess:
    """The same in a separate process.

    Raises:
        RuntimeUnavailable: the runtime is not installed or cannot run the bundle.
        WorkerDied: the process ended while it loaded.
    """
    return WorkerProcess(bundle, kind, **options)
