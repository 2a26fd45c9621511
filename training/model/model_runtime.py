"""A detection model of the Object Detection API in memory, run as the exported ones are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.detector.detections import Detections
from app.detector.fusion import fuse
from app.detector.runtimes import Pixels, Runtime
from app.detector.runtimes.tensorflow import split_by_size
from app.photo.resizing import resize
from training.errors import TrainingError
from training.model.configure import input_size_of, parse_pipeline
from training.model.multi_scale import detect_at_sizes


class CheckpointError(TrainingError):
    """There is no such checkpoint, or it is of another detector."""


def load_checkpoint(pipeline_config: Path, checkpoint: Path, *, multi_scale: Sequence[int] = ()) -> ModelRuntime:
    """The detector of a checkpoint, without exporting it.

    Args:
        pipeline_config: the configuration that it was trained with.
        checkpoint: a folder of checkpoints, of which the latest is taken, or the prefix of one.
        multi_scale: further sizes at which it looks, see `training.recipe.Recipe`.

    Raises:
        CheckpointError: there is none, or it is of another detector.
    """
    import training.compat  # isort: skip
    import tensorflow as tf
    from object_detection.builders import model_builder

    training.compat.leave_training_mode()
    prefix = tf.train.latest_checkpoint(str(checkpoint)) if checkpoint.is_dir() else str(checkpoint)
    if prefix is None or not Path(f"{prefix}.index").exists():
        raise CheckpointError(f"{checkpoint} holds no checkpoint")
    pipeline = parse_pipeline(pipeline_config.read_text(encoding="utf-8"))
    model = model_builder.build(pipeline.model, is_training=False)
    height, width = input_size_of(pipeline)
    runtime = ModelRuntime(model, height, width, multi_scale=multi_scale)
    status = tf.train.Checkpoint(model=model).restore(prefix)
    make_variables(model, height, width)  # which then take their values
    try:
        status.assert_existing_objects_matched()
    except AssertionError as error:
        raise CheckpointError(f"{prefix} is not a checkpoint of the detector in {pipeline_config}") from error
    return runtime


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

        self._run = run

    def detect(self, pixels: Pixels) -> Detections:
        """See `app.detector.runtimes.Runtime.detect`."""
        return self.detect_resized(resize(pixels, self._height, self._width)[np.newaxis])[0]

    def detect_resized(self, batch: npt.NDArray[np.uint8]) -> list[Detections]:
        """Everything the model sees on photos of its input size.

        Args:
            batch: uint8 `[n, height, width, 3]`.
        """
        return [fuse(by_size) for by_size in split_by_size(self._run(batch))]

    def detect_all(self, photos: Sequence[npt.NDArray[np.uint8]]) -> list[Detections]:
        """`detect_resized`, photo by photo, so that memory does not grow with their number."""
        return [found for photo in photos for found in self.detect_resized(photo[np.newaxis])]
