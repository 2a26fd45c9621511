"""Multi-scale testing: a trained detector runs at several sizes in one graph; `app.detector.fusion` joins the results.

The network is convolutional and its anchors are in pixels, so the same weights run at any size. The graph scales its
input down, so that a caller passes one photo of one size.
"""

from collections.abc import Sequence
from typing import Any

from app.detector.runtimes.tensorflow import SIZE_NUMBERS

Sizes = tuple[int, ...]
"""Sizes in pixels at which a detector runs, the largest, its input size, first."""


def sizes_text(sizes: Sizes) -> str:
    """Such as `416+320`."""
    return "+".join(map(str, sizes))


def scaled(inputs: Any, size: int) -> Any:
    """A batch of model inputs, `[n, height, width, 3]`, at `size` x `size` pixels."""
    from training.compat import tf

    return inputs if inputs.shape[1] == size else tf.image.resize(inputs, (size, size))


def detect_at_sizes(model: Any, photos: Any, multi_scale: Sequence[int]) -> dict[str, Any]:
    """The detections of an API `DetectionModel` on photos, float32 `[n, any, any, 3]`, 0 to 255, while a graph is
    traced: `detection_boxes`, `detection_scores` and `detection_classes` (from 1).

    With further sizes in pixels, for which it must be an SSD, those of all sizes, concatenated, and `SIZE_NUMBERS`, the
    size of each detection.
    """
    from training.compat import tf

    inputs, shapes = model.preprocess(photos)
    detections_at = [model.postprocess(model.predict(inputs, shapes), shapes)]
    for size in multi_scale:
        of_size = tf.tile([[size, size, 3]], [tf.shape(inputs)[0], 1])
        detections_at.append(model.postprocess(model.predict(scaled(inputs, size), of_size), of_size))
    columns = {
        name: tf.concat([found[name] for found in detections_at], axis=1)
        for name in ("detection_boxes", "detection_scores", "detection_classes")
    }
    columns["detection_classes"] = tf.cast(columns["detection_classes"], tf.float32) + 1  # from 0 in the model
    if multi_scale:
        numbered = [
            tf.fill(tf.shape(found["detection_scores"]), float(number)) for number, found in enumerate(detections_at)
        ]
        columns[SIZE_NUMBERS] = tf.concat(numbered, axis=1)
    return columns
