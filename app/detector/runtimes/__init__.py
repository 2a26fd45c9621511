"""What runs a bundle's detector: LiteRT on a CPU, or TensorFlow on a GPU where it sees one.

Nothing imports TensorFlow unless that runtime is chosen.
"""

from __future__ import annotations

import importlib.util
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from app.detector.detections import Detections
from app.errors import RuntimeUnavailable

if TYPE_CHECKING:  # a worker imports this module, and does without all that reads bundles
    from app.detector.bundle import Bundle

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
    """A loaded detector. One call at a time for each instance.

    A runtime may have more: `batch_size`, photos that `detect_batch(photos)` takes at once, which gives the detections
    of each; and `detect_alone(pixels)`, which does as `detect` and may use the whole machine for it.
    """

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


def fitted(pixels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """The photo in the size of the model's input: resized, or itself if it is of that size already."""
    if pixels.shape[:2] == (height, width):
        return pixels
    # A worker gets what fits already, and does without the decoders' memory.
    from app.photo.resizing import resize

    return resize(pixels, height, width)


def load_runtime(
    bundle: Bundle,
    kind: str = RuntimeKind.AUTO,
    *,
    precision: str = Precision.FLOAT32,
    threads: int = 1,
    alone_threads: int | None = None,
    batch_size: int = 1,
) -> Runtime:
    """Loads the detector of a bundle.

    Args:
        bundle: which detector.
        kind: `auto`, `litert` or `tensorflow`; `auto` takes TensorFlow for a bundle without a TFLite model.
        precision: `float32` or `int8`; the latter with LiteRT only.
        threads: CPU threads for one inference.
        alone_threads: of LiteRT's `detect_alone`, if they are others.
        batch_size: photos that TensorFlow takes at once; more than one for a bundle that can do so only.

    Raises:
        RuntimeUnavailable: the runtime is not installed or cannot run the bundle.
    """
    chosen = _choose(bundle) if RuntimeKind(kind) is RuntimeKind.AUTO else RuntimeKind(kind)
    if chosen is RuntimeKind.LITERT:
        from app.detector.runtimes.litert import LiteRTRuntime

        return LiteRTRuntime(bundle.tflite(precision), threads=threads, alone_threads=alone_threads)
    if Precision(precision) is not Precision.FLOAT32:
        raise RuntimeUnavailable(f"the tensorflow runtime runs float32, not {precision}; use litert")
    from app.detector.runtimes.tensorflow import TensorFlowRuntime

    return TensorFlowRuntime(
        bundle.path, bundle.input_height, bundle.input_width, threads=threads, batch_size=batch_size
    )


def load_in_process(bundle: Bundle, kind: str = RuntimeKind.AUTO, **options: Any) -> Runtime:
    """As `load_runtime`, in a process of its own.

    Raises:
        RuntimeUnavailable: see `load_runtime`.
        WorkerDied: the process ended while it loaded.
    """
    from app.detector.runtimes.process import WorkerProcess

    return WorkerProcess(bundle, kind, **options)


def may_be_tensorflow(bundle: Bundle, kind: str = RuntimeKind.AUTO) -> bool:
    """Whether `load_runtime` would take TensorFlow, if a GPU whose driver is there can be used."""
    if RuntimeKind(kind) is not RuntimeKind.AUTO:
        return RuntimeKind(kind) is RuntimeKind.TENSORFLOW
    if not bundle.holds_tflite:
        return True
    if importlib.util.find_spec("tensorflow") is None:
        return False
    has_gpu = any(Path(device).exists() for device in GPU_DEVICES)
    return has_gpu or importlib.util.find_spec("ai_edge_litert") is None


def _choose(bundle: Bundle) -> RuntimeKind:
    """TensorFlow where it is installed and sees a GPU, or where the bundle has nothing for LiteRT; else LiteRT."""
    if not may_be_tensorflow(bundle):
        return RuntimeKind.LITERT
    # TensorFlow costs seconds and half a gigabyte to import: it is asked only where there is a GPU driver.
    if bundle.holds_tflite and importlib.util.find_spec("ai_edge_litert") is not None:
        from app.detector.runtimes.tensorflow import visible_gpus

        return RuntimeKind.TENSORFLOW if visible_gpus() else RuntimeKind.LITERT
    return RuntimeKind.TENSORFLOW
