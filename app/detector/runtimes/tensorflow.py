"""TensorFlow: the bundle's SavedModel, on a GPU where TensorFlow sees one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.detector.detections import Detections
from app.detector.fusion import fuse
from app.detector.runtimes import fitted
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
"""Of a SavedModel that takes several photos at once: `images`, uint8 `[n, height, width, 3]`, of the input's size."""


LOOKS = "detection_looks"
"""An output of a SavedModel that looks at several sizes: which look each detection is of, from 0, `[n, detections]`."""


class TensorFlowRuntime:
    """A SavedModel with the `image_tensor` signature of the Object Detection API."""

    name = "tensorflow"

    def __init__(self, saved_model: Path, height: int, width: int, *, threads: int = 1, batch_size: int = 1) -> None:
        """Loads the SavedModel.

        Args:
            saved_model: folder that holds `saved_model.pb`.
            height, width: pixels of the detector's input; photos are resized before TensorFlow sees them, so that both
                runtimes look at the same pixels.
            threads: CPU threads for one inference; has an effect for the first instance of a process only.
            batch_size: photos to take at once, if the model can.

        Raises:
            RuntimeUnavailable: TensorFlow is not installed, or the folder holds no such model.
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
            # TensorFlow is running in this process and keeps the settings it started with.
            pass
        gpus = visible_gpus()
        self.device = f"gpu {gpus[0]}" if gpus else "cpu"
        self._height, self._width = height, width
        try:
            # The signature dies with the loaded object, so both are kept.
            self._model: Any = tf.saved_model.load(str(saved_model))
            self._run: Any = self._model.signatures["serving_default"]
            self._run_batch: Any = self._model.signatures.get(BATCH_SIGNATURE)
        except (OSError, KeyError) as error:
            raise RuntimeUnavailable(f"{saved_model} holds no SavedModel that can be served: {error}") from error
        self._to_tensor: Any = tf.constant
        self.batch_size = batch_size if self._run_batch is not None else 1
        self._batch = np.empty((self.batch_size, height, width, 3), np.uint8)

    def detect(self, pixels: npt.NDArray[np.uint8]) -> Detections:
        """See `app.detector.runtimes.Runtime.detect`."""
        return fuse(self.looks(pixels))

    def looks(self, pixels: npt.NDArray[np.uint8]) -> list[Detections]:
        """What the detector sees at each of its sizes, which `detect` fuses."""
        resized = fitted(pixels, self._height, self._width)
        (looks,) = looks_of(self._run(input_tensor=self._to_tensor(resized[np.newaxis])))
        return looks

    def detect_batch(self, photos: Sequence[npt.NDArray[np.uint8]]) -> list[Detections]:
        """Detections on each of up to `batch_size` photos, see `app.detector.runtimes.Runtime`."""
        for place, pixels in zip(self._batch, photos, strict=False):
            place[...] = fitted(pixels, self._height, self._width)
        outputs = self._run_batch(images=self._to_tensor(self._batch[: len(photos)]))
        return [fuse(looks) for looks in looks_of(outputs)]


def looks_of(outputs: Mapping[str, Any]) -> list[list[Detections]]:
    """What a model's outputs, as the Object Detection API names them, say of each photo of a batch, look by look."""
    columns = [outputs[f"detection_{name}"].numpy() for name in ("boxes", "scores", "classes")]
    looks = outputs[LOOKS].numpy() if LOOKS in outputs else np.zeros_like(columns[1])
    return [
        [Detections.from_raw(*(column[of_look == look] for column in photo)) for look in np.unique(of_look)]
        for *photo, of_look in zip(*columns, looks, strict=True)
    ]
