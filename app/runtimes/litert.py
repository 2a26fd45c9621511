"""LiteRT: the detector on a CPU, without TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from app import images
from app.bundle import FLOAT32_MODEL, INT8_MODEL, Bundle
from app.detections import Detections
from app.errors import RuntimeUnavailable
from app.runtimes import Precision


def model_input(pixels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.float32]:
    """A photo of any size as float32 `[1, height, width, 3]` within -1 to 1.

    This is the MobileNetV2 preprocessing of the Object Detection API; the SavedModel holds it, TFLite files do not.
    """
    resized = images.resize(pixels, height, width)
    return resized[np.newaxis].astype(np.float32) * np.float32(2.0 / 255.0) - np.float32(1.0)


class LiteRTRuntime:
    """A TFLite file with the detection postprocessing inside, as `training.export` writes it."""

    name = "litert"
    device = "cpu"

    def __init__(self, model: Path, *, threads: int = 1) -> None:
        """Loads the file.

        Args:
            model: the `.tflite` file.
            threads: CPU threads for one inference.

        Raises:
            RuntimeUnavailable: LiteRT is not installed, or the file is not such a model.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise RuntimeUnavailable(f"the litert runtime is not installed: {error}") from error
        try:
            # Given the path, LiteRT maps the file, and a file that is copied over then ends the process (SIGBUS).
            self._interpreter = Interpreter(model_content=model.read_bytes(), num_threads=threads)
            self._run = self._interpreter.get_signature_runner()
            ((self._input, details),) = self._run.get_input_details().items()
        except (OSError, ValueError, RuntimeError) as error:
            raise RuntimeUnavailable(f"{model} cannot be loaded: {error}") from error
        _, self._height, self._width, _ = (int(size) for size in details["shape"])

    @classmethod
    def of_bundle(cls, bundle: Bundle, precision: Precision, *, threads: int) -> Self:
        """The bundle's model of this precision."""
        file = FLOAT32_MODEL if precision is Precision.FLOAT32 else INT8_MODEL
        if not (bundle.path / file).exists():
            raise RuntimeUnavailable(f"{bundle.name} {bundle.version} holds no {file}: choose the tensorflow runtime")
        return cls(bundle.path / file, threads=threads)

    def detect(self, pixels: npt.NDArray[np.uint8]) -> Detections:
        """See `app.runtimes.Runtime.detect`."""
        # The signature's outputs are in reverse order of the postprocessing: count, scores, classes from 0, boxes.
        outputs = self._run(**{self._input: model_input(pixels, self._height, self._width)})
        count = int(outputs["output_0"].item())
        return Detections.from_raw(
            outputs["output_3"][0, :count], outputs["output_1"][0, :count], outputs["output_2"][0, :count] + 1
        )
