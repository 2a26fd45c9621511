"""A detection model of the Object Detection API in memory, run as the exported ones are."""

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


def make_variables(model: Any, height: int, width: int) -> None:
    """Makes a `DetectionModel`'s variables, which it does when it first sees a photo; a function that is traced with
    all of them there is traced once."""
    import tensorflow as tf

    model._is_training = False  # the step of a training sets both back for its own trace
    tf.keras.backend.set_learning_phase(False)
    model.predict(*model.preprocess(tf.zeros((1, height, width, 3))))


class ModelRuntime(Runtime):
    """Weights in memory as an `app.detector.runtimes.Runtime`: a training in progress, or a checkpoint."""

    name = "checkpoint"
    device = "cpu"

    def __init__(self, model: Any, height: int, width: int, *, multi_scale: Sequence[int] = ()) -> None:
        """Args: the API's `DetectionModel`; pixels of its input, to which photos are resized as in serving; further
        sizes at which it looks."""
        import tensorflow as tf

        self._height, self._width = height, width

        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def run(batch: Any) -> dict[str, Any]:
            # Read while the function is traced; the step of a training sets them back for its own trace.
            model._is_training = False
            tf.keras.backend.set_learning_phase(False)
            return detect_at_sizes(model, tf.cast(batch, tf.float32), multi_scale)

        self.graph = run

    def detect(self, pixels: Pixels) -> Detections:
        """See `app.detector.runtimes.Runtime.detect`."""
        return self.detect_resized(resize(pixels, self._height, self._width)[np.newaxis])[0]

    def detect_resized(self, batch: npt.NDArray[np.uint8]) -> list[Detections]:
        """Everything the model sees on photos of its input size.

        Args:
            batch: uint8 `[n, height, width, 3]`.
        """
        return [fuse(by_size) for by_size in split_by_size(self.graph(batch))]

    def detect_all(self, photos: Sequence[npt.NDArray[np.uint8]]) -> list[Detections]:
        """`detect_resized`, photo by photo, so that memory does not grow with their number."""
        return [found for photo in photos for found in self.detect_resized(photo[np.newaxis])]
