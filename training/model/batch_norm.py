"""Re-estimation of batch-norm statistics, so that they fit the weights they are exported with.

The moving averages start at mean 0 and variance 1, of which a share of `decay ** steps` remains. With the zoo's decay
of 0.997 and 800 steps that is 9 %, enough for a well-trained detector to find nothing.
"""

from collections.abc import Callable, Sequence
from typing import Any

NEGLIGIBLE_SHARE = 1e-4
"""Acceptable share of the initial statistics. The true variances of the new layers are far below the initial 1: a
hundredth of it loses most teeth."""

REESTIMATION_DECAY = 0.95
REESTIMATION_BATCHES = 80
"""The first batch replaces the averages, the others move them; about the last 20 count."""


def needs_reestimation(model: Any, steps: int) -> bool:
    """Whether too much of the initial values remains in the model's averages after these steps."""
    return max((layer.momentum for layer in _layers(model)), default=0.0) ** steps > NEGLIGIBLE_SHARE


def moving_statistics(model: Any) -> list[Any]:
    """Variables: the moving means and variances of every batch-norm layer that training updates."""
    return [variable for layer in _layers(model) for variable in (layer.moving_mean, layer.moving_variance)]


def build_reestimation(model: Any, strategy: Any, *, unpad_groundtruth: bool) -> Callable[[Any], None]:
    """A function that re-estimates the averages from `REESTIMATION_BATCHES` batches of a distributed training dataset.

    The model's variables exist in the scope of the strategy; `unpad_groundtruth` is the training configuration's
    `unpad_groundtruth_tensors`.
    """
    from training.compat import tf
    from object_detection import model_lib
    from object_detection.core import standard_fields

    fields = standard_fields.InputDataFields

    def forward(features: Any, labels: Any) -> None:
        model._is_training = True
        tf.keras.backend.set_learning_phase(True)
        # In two-stage detectors the labels choose the input of the second stage.
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
    from training.compat import tf

    # The API's own layers descend from the class of version 1, Keras applications' from that of version 2.
    kinds = (tf.keras.layers.BatchNormalization, tf.compat.v1.keras.layers.BatchNormalization)
    layers = [item for item in model.submodules if isinstance(item, kinds)]
    # `_training` is False in the API's layers that stay frozen.
    return [layer for layer in layers if layer.built and getattr(layer, "_training", None) is not False]
