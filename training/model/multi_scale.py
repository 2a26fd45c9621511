"""Multi-scale testing: a trained detector looks at a photo at several sizes in one graph, and `app.detector.fusion`
joins them.

The network is convolutional and its anchors are in pixels, so the same weights run at any size. The smaller sizes are
made from the input inside the graph: who runs it gives one photo of one size.
"""

from collections.abc import Sequence
from typing import Any

from app.detector.runtimes.tensorflow import SIZE_NUMBERS

Sizes = tuple[int, ...]
"""Pixels of each size at which a detector looks, that of its input, the largest, first."""


def sizes_text(sizes: Sizes) -> str:
    """As people write them: `416+320`."""
    return "+".join(map(str, sizes))


def scaled(inputs: Any, size: int) -> Any:
    """A batch of model inputs, `[n, height, width, 3]`, at `size` x `size` pixels; itself if it is of that size."""
    import tensorflow as tf

    return inputs if inputs.shape[1] == size else tf.image.resize(inputs, (size, size))


def detect_at_sizes(model: Any, photos: Any, multi_scale: Sequence[int]) -> dict[str, Any]:
    """What a `DetectionModel` sees of photos at its own and at further sizes, while a graph is traced.

    Args:
        model: of the Object Detection API.
        photos: float32 `[n, any, any, 3]`, 0 to 255.
        multi_scale: pixels of each further size; none for any architecture but SSD.

    Returns:
        `detection_boxes`, `detection_scores` and `detection_classes` (from 1) as the API names them, all sizes one
        after the other; with further sizes `SIZE_NUMBERS` says of which each detection is.
    """
    import tensorflow as tf

    inputs, shapes = model.preprocess(photos)
    looks = [model.postprocess(model.predict(inputs, shapes), shapes)]
    for size in multi_scale:
        of_size = tf.tile([[size, size, 3]], [tf.shape(inputs)[0], 1])
        looks.append(model.postprocess(model.predict(scaled(inputs, size), of_size), of_size))
    columns = {
        name: tf.concat([look[name] for look in looks], axis=1)
        for name in ("detection_boxes", "detection_scores", "detection_classes")
    }
    columns["detection_classes"] = tf.cast(columns["detection_classes"], tf.float32) + 1  # from 0 in the model
    if multi_scale:
        numbered = [tf.fill(tf.shape(look["detection_scores"]), float(place)) for place, look in enumerate(looks)]
        columns[SIZE_NUMBERS] = tf.concat(numbered, axis=1)
    return columns
