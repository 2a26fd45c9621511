"""TensorFlow: the bundle's SavedModel, on a GPU where TensorFlow sees one."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.detector.detections import Detections
from app.detector.fusion import fuse
from app.detector.runtimes import Pixels, Runtime, fitted
from app.errors import RuntimeUnavailable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def visible_gpus() -> list[str]:
    """Names of the GPUs that TensorFlow can use, in its order; empty where TensorFlow is not installed."""
    try:
        import tensorflow as tf
    except ImportError:
        return []
    gpus = tf.config.list_physical_devices("GPU")
    return [str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)) for gpu in gpus]


BATCH_SIGNATURE = "image_batch"
"""Signature of a SavedModel that accepts batches: `images`, uint8 `[n, height, width, 3]`, in the input's size."""

SIZE_NUMBERS = "detection_looks"
"""Output of a multi-scale SavedModel: the number of the input size of each detection, from 0, `[n, detections]`."""


class TensorFlowRuntime(Runtime):
    """A SavedModel with the `image_tensor` signature of the Object Detection API."""

    name = "tensorflow"

    def __init__(self, saved_model: Path, height: int, width: int, *, threads: int = 1, batch_size: int = 1) -> None:
        """Load the SavedModel.

        Args:
            saved_model: folder of `saved_model.pb`.
            height, width: pixels of the detector's input. Photos are resized here, so that both runtimes detect on the
                same pixels.
            threads: CPU threads for one inference; only the first instance of a process can set it.
            batch_size: photos per call, if the model accepts batches.

        Raises:
            RuntimeUnavailable: TensorFlow is not installed, or the folder contains no such model.
        """
        try:
            import tensorflow as tf
        except ImportError as error:
            raise RuntimeUnavailable(f"the tensorflow runtime is not installed: {error}") from error
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            for gpu in tf.config.list_physical_devices("GPU"):
                tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:
            # TensorFlow already runs in this process and keeps its settings.
            pass
        gpus = visible_gpus()
        self.device = f"gpu {gpus[0]}" if gpus else "cpu"
        self._height, self._width = height, width
        try:
            # The signature does not keep the loaded object alive.
            self._model: Any = tf.saved_model.load(str(saved_model))
            self._run: Any = self._model.signatures["serving_default"]
            self._run_batch: Any = self._model.signatures.get(BATCH_SIGNATURE)
        except (OSError, KeyError) as error:
            raise RuntimeUnavailable(f"{saved_model} has no SavedModel that can be served: {error}") from error
        self._to_tensor: Any = tf.constant
        self.batch_size = batch_size if self._run_batch is not None else 1
        self._batch = np.empty((self.batch_size, height, width, 3), np.uint8)

    def detect(self, pixels: Pixels) -> Detections:
        return fuse(self.detect_by_size(pixels))

    def detect_by_size(self, pixels: Pixels) -> list[Detections]:
        """Detections at each of the model's input sizes, before they are fused."""
        resized = fitted(pixels, self._height, self._width)
        (by_size,) = split_by_size(self._run(input_tensor=self._to_tensor(resized[np.newaxis])))
        return by_size

    def detect_batch(self, photos: Sequence[Pixels]) -> list[Detections]:
        for target, pixels in zip(self._batch, photos, strict=False):
            target[...] = fitted(pixels, self._height, self._width)
        outputs = self._run_batch(images=self._to_tensor(self._batch[: len(photos)]))
        return [fuse(by_size) for by_size in split_by_size(outputs)]


def split_by_size(outputs: Mapping[str, Any]) -> list[list[Detections]]:
    """Detections per photo and input size, from a model's outputs as the Object Detection API names them."""
    columns = [outputs[f"detection_{name}"].numpy() for name in ("boxes", "scores", "classes")]
    sizes = outputs[SIZE_NUMBERS].numpy() if SIZE_NUMBERS in outputs else np.zeros_like(columns[1])
    return [
        [Detections.from_raw(*(column[of_photo == size] for column in photo)) for size in np.unique(of_photo)]
        for *photo, of_photo in zip(*columns, sizes, strict=True)
    ]
