"""A detection model of the Object Detection API in memory, run like an exported one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app.detector.detections import Detections
from app.detector.fusion import fuse
from app.detector.runtimes import Pixels, Runtime
from app.detector.runtimes.tensorflow import split_by_size
from app.photo.resizing import resize
from training.model.multi_scale import detect_at_sizes


def build_variables(model: Any, height: int, width: int) -> None:
    """Create a `DetectionModel`'s variables, which its first call would do, so that functions are traced only once."""
    from training.compat import tf

    model._is_training = False  # a training step sets both again for its own trace
    tf.keras.backend.set_learning_phase(False)
    model.predict(*model.preprocess(tf.zeros((1, height, width, 3))))


class ModelRuntime(Runtime):
    """The weights of a training in progress or of a checkpoint."""

    name = "checkpoint"
    device = "cpu"

    def __init__(self, model: Any, height: int, width: int, *, multi_scale: Sequence[int] = ()) -> None:
        """Args: the API's `DetectionModel`; its input size in pixels, to which photos are resized as in serving;
        further sizes at which it runs."""
        from training.compat import tf

        self._height, self._width = height, width

        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def run(batch: Any) -> dict[str, Any]:
            # Read while the function is traced; a training step sets them again for its own trace.
            model._is_training = False
            tf.keras.backend.set_learning_phase(False)
            return detect_at_sizes(model, tf.cast(batch, tf.float32), multi_scale)

        self.graph = run

    def detect(self, pixels: Pixels) -> Detections:
        """See `app.detector.runtimes.Runtime.detect`."""
        return self.detect_resized(resize(pixels, self._height, self._width)[np.newaxis])[0]

    def detect_resized(self, batch: npt.NDArray[np.uint8]) -> list[Detections]:
        """All detections on photos of its input size, uint8 `[n, height, width, 3]`."""
        return [fuse(by_size) for by_size in split_by_size(self.graph(batch))]

    def detect_all(self, photos: Sequence[npt.NDArray[np.uint8]]) -> list[Detections]:
        """`detect_resized`, photo by photo, so that memory does not grow with their number."""
        return [found for photo in photos for found in self.detect_resized(photo[np.newaxis])]
