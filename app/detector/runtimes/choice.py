"""Which runtime a machine and a bundle allow."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from app.detector.bundle import Bundle
from app.detector.runtimes.tensorflow import visible_gpus
from app.settings import RuntimeKind

GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Device files of the drivers of NVIDIA, of AMD and of Windows' Linux subsystem."""


def may_be_tensorflow(bundle: Bundle, kind: str = RuntimeKind.AUTO) -> bool:
    """Whether `choose_runtime` would return TensorFlow, assuming that a GPU with a driver is usable."""
    if RuntimeKind(kind) is not RuntimeKind.AUTO:
        return RuntimeKind(kind) is RuntimeKind.TENSORFLOW
    if not bundle.has_tflite:
        return True
    if importlib.util.find_spec("tensorflow") is None:
        return False
    has_gpu = any(Path(device).exists() for device in GPU_DEVICES)
    return has_gpu or importlib.util.find_spec("ai_edge_litert") is None


def choose_runtime(bundle: Bundle, kind: str = RuntimeKind.AUTO) -> RuntimeKind:
    """The runtime to load; for `auto` TensorFlow if it sees a GPU or the bundle has no TFLite model, else LiteRT."""
    if not may_be_tensorflow(bundle, kind):
        return RuntimeKind.LITERT
    has_litert = bundle.has_tflite and importlib.util.find_spec("ai_edge_litert") is not None
    # Importing TensorFlow takes seconds and half a gigabyte: only where there is a GPU driver is it asked.
    if RuntimeKind(kind) is RuntimeKind.AUTO and has_litert and not visible_gpus():
        return RuntimeKind.LITERT
    return RuntimeKind.TENSORFLOW
