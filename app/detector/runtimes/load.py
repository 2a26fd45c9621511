"""Which runtime runs a bundle, and loading it into this process."""

import importlib.util
from pathlib import Path
from typing import Unpack

from app.detector.bundle import TFLITE_MODELS, Bundle
from app.detector.runtimes import Runtime, RuntimeOptions
from app.detector.runtimes.litert import LiteRTRuntime, time_models
from app.detector.runtimes.tensorflow import TensorFlowRuntime, visible_gpus
from app.errors import RuntimeUnavailable
from app.settings import Precision, RuntimeKind

GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Device files of the drivers of NVIDIA, of AMD and of Windows' Linux subsystem."""


def load_runtime(bundle: Bundle, kind: str = RuntimeKind.AUTO, **options: Unpack[RuntimeOptions]) -> Runtime:
    """A bundle's detector; `auto` means TensorFlow if it sees a GPU or the bundle has no TFLite model, else LiteRT.

    Raises:
        RuntimeUnavailable: the runtime is not installed or cannot run the bundle.
    """
    threads, precision = options.get("threads", 1), Precision(options.get("precision", Precision.FLOAT32))
    if not _is_tensorflow(bundle, kind):
        if (chooser := options.get("chooser")) is not None:
            models = {name: bundle.tflite(name) for name in TFLITE_MODELS}
            precision = Precision(chooser.choose(lambda: time_models(models, threads=threads)))
        return LiteRTRuntime(bundle.tflite(precision), threads=threads, alone_threads=options.get("alone_threads"))
    if precision is not Precision.FLOAT32:
        raise RuntimeUnavailable(f"the tensorflow runtime runs float32, not {precision}; use litert")
    batch_size = options.get("batch_size", 1)
    return TensorFlowRuntime(
        bundle.path, bundle.input_height, bundle.input_width, threads=threads, batch_size=batch_size
    )


def may_be_tensorflow(bundle: Bundle, kind: str = RuntimeKind.AUTO) -> bool:
    """Whether `load_runtime` would take TensorFlow, assuming that a GPU with a driver is usable."""
    if RuntimeKind(kind) is not RuntimeKind.AUTO:
        return RuntimeKind(kind) is RuntimeKind.TENSORFLOW
    if not bundle.precisions:
        return True
    if importlib.util.find_spec("tensorflow") is None:
        return False
    has_gpu = any(Path(device).exists() for device in GPU_DEVICES)
    return has_gpu or importlib.util.find_spec("ai_edge_litert") is None


def _is_tensorflow(bundle: Bundle, kind: str) -> bool:
    if not may_be_tensorflow(bundle, kind):
        return False
    has_choice = bool(bundle.precisions) and importlib.util.find_spec("ai_edge_litert") is not None
    # Importing TensorFlow takes seconds and half a gigabyte: only where there is a GPU driver is it asked.
    return RuntimeKind(kind) is RuntimeKind.TENSORFLOW or not has_choice or bool(visible_gpus())
