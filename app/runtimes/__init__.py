"""What runs a bundle's detector: LiteRT on a CPU, or TensorFlow on a GPU where it sees one.

Nothing imports TensorFlow unless that runtime is chosen.
"""

from __future__ import annotations

import importlib.util
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from app.bundle import FLOAT32_MODEL, Bundle
from app.detections import Detections
from app.errors import RuntimeUnavailable

GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Device files of the drivers of NVIDIA, of AMD and of Windows' Linux subsystem."""


class RuntimeKind(StrEnum):
    """Which runtime to load; `auto` takes TensorFlow where it sees a GPU, and LiteRT elsewhere."""

    AUTO = "auto"
    LITERT = "litert"
    TENSORFLOW = "tensorflow"


class Precision(StrEnum):
    """Which LiteRT model to run; TensorFlow always runs float32."""

    FLOAT32 = "float32"
    INT8 = "int8"


class Runtime(Protocol):
    """A loaded detector. One call at a time for each instance."""

    @property
    def name(self) -> str:
        """`litert` or `tensorflow`."""

    @property
    def device(self) -> str:
        """`cpu`, or `gpu` with the GPU's name."""

    def detect(self, pixels: npt.NDArray[np.uint8]) -> Detections:
        """Everything the detector sees, of every class and score.

        Args:
            pixels: uint8 `[height, width, 3]`, RGB, upright, of any size.
        """


def load_runtime(
    bundle: Bundle,
    kind: str = RuntimeKind.AUTO,
    *,
    precision: str = Precision.FLOAT32,
    threads: int = 1,
) -> Runtime:
    """Loads the detector of a bundle.

    Args:
        bundle: which detector.
        kind: `auto`, `litert` or `tensorflow`; `auto` takes TensorFlow for a bundle without a TFLite model.
        precision: `float32` or `int8`; the latter with LiteRT only.
        threads: CPU threads for one inference.

    Raises:
        RuntimeUnavailable: the runtime is not installed or cannot run the bundle.
    """
    chosen = _choose(bundle) if RuntimeKind(kind) is RuntimeKind.AUTO else RuntimeKind(kind)
    if chosen is RuntimeKind.LITERT:
        from app.runtimes.litert import LiteRTRuntime

        return LiteRTRuntime.of_bundle(bundle, Precision(precision), threads=threads)
    if Precision(precision) is not Precision.FLOAT32:
        raise RuntimeUnavailable(f"the tensorflow runtime runs float32, not {precision}; use litert")
    from app.runtimes.tensorflow import TensorFlowRuntime

    return TensorFlowRuntime(bundle.path, bundle.input_height, bundle.input_width, threads=threads)


def load_in_process(
    bundle: Bundle,
    kind: str = RuntimeKind.AUTO,
    *,
    precision: str = Precision.FLOAT32,
    threads: int = 1,
) -> Runtime:
    """As `load_runtime`, in a process of its own.

    Raises:
        RuntimeUnavailable: see `load_runtime`.
        WorkerDied: the process ended while it loaded.
    """
    from app.runtimes.process import WorkerProcess

    return WorkerProcess(bundle, kind, precision=precision, threads=threads)


def _choose(bundle: Bundle) -> RuntimeKind:
    """TensorFlow where it is installed and sees a GPU, or where the bundle has nothing for LiteRT; else LiteRT."""
    if not (bundle.path / FLOAT32_MODEL).exists():
        return RuntimeKind.TENSORFLOW
    has_tensorflow = importlib.util.find_spec("tensorflow") is not None
    # TensorFlow costs seconds and half a gigabyte to import: it is asked only where there is a GPU driver.
    if has_tensorflow and any(Path(device).exists() for device in GPU_DEVICES):
        from app.runtimes.tensorflow import visible_gpus

        if visible_gpus():
            return RuntimeKind.TENSORFLOW
    if importlib.util.find_spec("ai_edge_litert") is None and has_tensorflow:
        return RuntimeKind.TENSORFLOW
    return RuntimeKind.LITERT
