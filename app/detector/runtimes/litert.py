"""LiteRT: the detector on a CPU, without TensorFlow."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.detector.detections import Detections
from app.detector.fusion import fuse
from app.detector.runtimes import Pixels, Runtime, fitted
from app.errors import RuntimeUnavailable

TIMING_S = 0.2
"""Seconds that timing the models of a bundle may take."""

MAX_TIMED_RUNS = 5


def model_input(
    pixels: Pixels, height: int, width: int, *, out: npt.NDArray[np.float32] | None = None
) -> npt.NDArray[np.float32]:
    """A photo of any size as float32 `[1, height, width, 3]` within -1 to 1, written to `out` if given.

    This is the MobileNetV2 preprocessing of the Object Detection API; SavedModels contain it, TFLite files do not.
    """
    scaled = np.multiply(fitted(pixels, height, width)[np.newaxis], np.float32(2.0 / 255.0), out=out)
    scaled -= np.float32(1.0)
    return scaled


class LiteRTRuntime(Runtime):
    """A TFLite file that includes the detection postprocessing, as `training.release.export` writes it."""

    name = "litert"
    device = "cpu"

    def __init__(
        self, model: Path, *, threads: int = 1, alone_threads: int | None = None, mapped: bool = False
    ) -> None:
        """Load the file.

        Args:
            model: the `.tflite` file.
            threads: CPU threads for one inference.
            alone_threads: likewise for `detect_alone`; a number other than `threads` takes a second interpreter.
            mapped: map the file instead of reading it; only for immutable files, since truncation of a mapped file
                kills the process (SIGBUS).

        Raises:
            RuntimeUnavailable: LiteRT is not installed, or the file is not such a model.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise RuntimeUnavailable(f"the litert runtime is not installed: {error}") from error
        try:
            source = {"model_path": str(model)} if mapped else {"model_content": model.read_bytes()}
            self._model = _Model(Interpreter(**source, num_threads=threads))
            self._alone = self._model
            self.detects_alone = alone_threads not in (None, threads)
            if self.detects_alone:
                self._alone = _Model(Interpreter(**source, num_threads=alone_threads))
        except (OSError, ValueError, RuntimeError) as error:
            raise RuntimeUnavailable(f"{model} cannot be loaded: {error}") from error

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Of a photo that needs no resizing."""
        return self._model.input_shape

    def detect(self, pixels: Pixels) -> Detections:
        return fuse(self.detect_by_size(pixels))

    def detect_alone(self, pixels: Pixels) -> Detections:
        return fuse(self._alone.detect_by_size(pixels))

    def detect_by_size(self, pixels: Pixels) -> list[Detections]:
        """Detections at each of the model's input sizes, before they are fused."""
        return self._model.detect_by_size(pixels)


def time_models(models: Mapping[str, Path], *, threads: int = 1, mapped: bool = False) -> dict[str, float]:
    """Milliseconds of one inference by each model: the fastest of up to `MAX_TIMED_RUNS`.

    The models take turns, so that other work on the machine affects all. Each runs once; further runs end when the next
    one would exceed `TIMING_S`, loading included.

    Raises:
        RuntimeUnavailable: one of them cannot be loaded.
    """
    end = time.perf_counter() + TIMING_S
    loaded = {name: LiteRTRuntime(path, threads=threads, mapped=mapped) for name, path in models.items()}
    fastest = dict.fromkeys(models, math.inf)
    for number in range(MAX_TIMED_RUNS):
        for name, runtime in loaded.items():
            started = time.perf_counter()
            if number and started + fastest[name] > end:
                break
            runtime.detect(np.zeros(runtime.input_shape, np.uint8))
            fastest[name] = min(fastest[name], time.perf_counter() - started)
    return {name: round(seconds * 1000, 2) for name, seconds in fastest.items()}


class _Model:
    """One interpreter and the indices of its input and outputs."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        interpreter.allocate_tensors()
        signature = interpreter.get_signature_runner()
        ((_, details),) = signature.get_input_details().items()
        self._input: int = details["index"]
        _, height, width, channels = (int(size) for size in details["shape"])
        self.input_shape = height, width, channels
        outputs = signature.get_output_details()
        # The signature's outputs are in reverse order of the postprocessing, once per input size: count, scores,
        # classes from 0, boxes.
        indices = [outputs[f"output_{number}"]["index"] for number in range(len(outputs))]
        self._outputs = [indices[first : first + 4] for first in range(0, len(indices), 4)]

    def detect_by_size(self, pixels: Pixels) -> list[Detections]:
        # Written directly into the model's input. No view of it may exist when the model runs.
        height, width, _ = self.input_shape
        model_input(pixels, height, width, out=self._interpreter.tensor(self._input)())
        self._interpreter.invoke()
        return [self._detections(outputs) for outputs in self._outputs]

    def _detections(self, outputs: list[int]) -> Detections:
        count, scores, classes, boxes = (self._interpreter.get_tensor(index) for index in outputs)
        found = int(count.item())
        return Detections.from_raw(boxes[0, :found], scores[0, :found], classes[0, :found] + 1)
