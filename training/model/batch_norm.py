"""Batch-norm statistics that describe the weights they are exported with.

Batch normalization keeps moving averages of what it saw in training; the exported detector normalizes by them. They
start at mean 0 and variance 1, and after `steps` updates still hold the share `decay ** steps` of that start. With the
zoo's decay of 0.997 and 800 steps that is 9 %, which is enough to make a detector that trained well find nothing. Where
the share is not negligible the averages are taken anew, with the weights as they are.
"""

from collections.abc import Callable, Sequence
from typing import Any

NEGLIGIBLE_SHARE = 1e-4
"""Largest share of the initial statistics that is left in the averages as they are. The true variances of the new
layers are far below the initial 1: one hundredth of it left in them is enough to lose most teeth."""

REESTIMATION_DECAY = 0.95
REESTIMATION_BATCHES = 80
"""The first batch replaces the former averages, the others move them; about the last 20 count."""


def needs_reestimation(model: Any, steps: int) -> bool:
    """Whether some of the model's averages still hold too much of their initial values after so many steps."""
    return max((layer.momentum for layer in _layers(model)), default=0.0) ** steps > NEGLIGIBLE_SHARE


def moving_statistics(model: Any) -> list[Any]:
    """The moving means and variances of every batch-norm layer that training updates, as variables."""
    return [variable for layer in _layers(model) for variable in (layer.moving_mean, layer.moving_variance)]


def build_reestimation(model: Any, strategy: Any, *, unpad_groundtruth: bool) -> Callable[[Any], None]:
    """A function that passes batches through the model and moves the averages towards what it sees.

    Args:
        model: a detection model whose variables exist.
        strategy: the `tf.distribute.Strategy` of the model.
        unpad_groundtruth: the training configuration's `unpad_groundtruth_tensors`.

    Returns:
        Takes a distributed dataset of training batches, of which it reads `REESTIMATION_BATCHES`; changes no weight.
    """
    import tensorflow as tf
    from object_detection import model_lib
    from object_detection.core import standard_fields

    fields = standard_fields.InputDataFields

    def forward(features: Any, labels: Any) -> None:
        model._is_training = True
        tf.keras.backend.set_learning_phase(True)
        # Detectors with two stages choose what the second one sees by the labels.
        unstacked = model_lib.unstack_batch(labels, unpad_groundtruth_tensors=unpad_groundtruth)
        model_lib.provide_groundtruth(model, unstacked)
        model.predict(features[fields.image], features[fields.true_image_shape], **model.get_side_inputs(features))

    def at_decay(decay: float) -> Callable[[Sequence[Any], Any, Any], None]:
        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def update(features: Any, labels: Any) -> None:
            strategy.run(forward, args=(features, labels))

        def traced(layers: Sequence[Any], features: Any, labels: Any) -> None:
            decays = [layer.momentum for layer in layers]
            for layer in layers:
                layer.momentum = decay  # read while `update` is traced, at its first call
            try:
                update(features, labels)
            finally:
                for layer, own in zip(layers, decays, strict=True):
                    layer.momentum = own

        return traced

    replace, move = at_decay(0.0), at_decay(REESTIMATION_DECAY)

    def reestimate(batches: Any) -> None:
        layers = _layers(model)
        for number, (features, labels) in enumerate(batches):
            (move if number else replace)(layers, features, labels)
            if number + 1 == REESTIMATION_BATCHES:
                break

    return reestimate


def _layers(model: Any) -> list[Any]:
    import tensorflow as tf

    # The API's own layers descend from the class of version 1, Keras applications' from that of version 2.
    kinds = (tf.keras.layers.BatchNormalization, tf.compat.v1.keras.layers.BatchNormalization)
    layers = [item for item in model.submodules if isinstance(item, kinds)]
    # `_training` is False in the API's layers that are frozen for good.
    return [layer for layer in layers if layer.built and getattr(layer, "_training", None) is not False]
