"""The classifier of the second look: MobileNetV2 from the COCO detector's backbone, pooled, and one dense layer.

The lower layers stay as they were pretrained. So what they make of some augmented views of every tooth is computed
once, for all folds, and only the upper layers are trained, on those feature maps, which have few pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from training.annotations import CLASS_IDS
from training.errors import TrainingError
from training.second_look.augmentation import apply, as_tensors, draw
from training.second_look.crops import Pixels
from training.second_look.recipe import SecondLookRecipe

BATCH_NORM_DECAY = 0.97
"""Of the averages that are trained: what they start from is gone after some hundred steps."""

BATCH = 64
"""Crops that are computed at once where nothing is trained."""

FeatureMaps = npt.NDArray[np.float16]


class SecondLookError(TrainingError):
    """There is nothing to train on, or the recipe names a layer that is not there."""


@dataclass(frozen=True, slots=True)
class Classifier:
    """The network in two parts.

    Attributes:
        lower: Keras model of float32 `[n, crop_size, crop_size, 3]` within -1 to 1, RGB, to feature maps.
        upper: of those to a logit of each class, `[n, classes]`.
        whole: both, one after the other, with the same weights.
    """

    lower: Any
    upper: Any
    whole: Any


def build(recipe: SecondLookRecipe) -> Classifier:
    """The classifier with pretrained weights below its last layer.

    Raises:
        SecondLookError: the backbone has no such layer.
    """
    import training.compat  # noqa: F401  isort: skip
    import tensorflow as tf

    from training.pretrained.backbone import assign_backbone

    tf.keras.utils.set_random_seed(recipe.seed)
    shape = (recipe.crop_size, recipe.crop_size, 3)
    backbone = tf.keras.applications.MobileNetV2(input_shape=shape, include_top=False, weights=None)
    assign_backbone(backbone)
    for layer in backbone.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_DECAY
            layer.trainable = not recipe.frozen_batch_norm
    names = [layer.name for layer in backbone.layers]
    for key in ("last_frozen_layer", "last_layer"):
        if getattr(recipe, key) not in names:
            raise SecondLookError(f"{key} is {getattr(recipe, key)!r}, the backbone has {', '.join(names)}")
    between = backbone.get_layer(recipe.last_frozen_layer).output
    features = tf.keras.layers.GlobalAveragePooling2D()(backbone.get_layer(recipe.last_layer).output)
    features = tf.keras.layers.Dropout(recipe.dropout, seed=recipe.seed)(features)
    logits = tf.keras.layers.Dense(classes(recipe), name="logits")(features)
    return Classifier(
        lower=tf.keras.Model(backbone.input, between),
        upper=tf.keras.Model(between, logits),
        whole=tf.keras.Model(backbone.input, logits),
    )


def classes(recipe: SecondLookRecipe) -> int:
    """How many classes the classifier tells apart."""
    return len(CLASS_IDS) + bool(recipe.background)


def augmented_views(classifier: Classifier, canvases: Pixels, recipe: SecondLookRecipe) -> FeatureMaps:
    """What the lower layers make of augmented views of teeth, float16 `[views, n, height, width, channels]`.

    Args:
        classifier: its lower layers are the pretrained ones, whatever it was trained on.
        canvases: uint8 `[n, side, side, 3]`, see `training.second_look.teeth.Teeth`.
        recipe: says how many views, and how they differ.
    """
    import tensorflow as tf

    random = np.random.default_rng(recipe.seed)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def features_of(batch: Any, *changes: Any) -> Any:
        crops = apply(batch, *changes, crop_size=recipe.crop_size) / 127.5 - 1.0
        return tf.cast(classifier.lower(crops, training=False), tf.float16)

    found = np.zeros((recipe.views, len(canvases), *classifier.lower.output_shape[1:]), np.float16)
    with tqdm(total=recipe.views * len(canvases), desc="views", unit="crop") as bar:
        for view in range(recipe.views):
            for start in range(0, len(canvases), BATCH):
                batch = canvases[start : start + BATCH]
                changes = draw(random, len(batch), recipe, canvases.shape[1])
                found[view, start : start + BATCH] = features_of(batch, *as_tensors(changes))
                bar.update(len(batch))
    return found


def train(
    classifier: Classifier,
    views: FeatureMaps,
    labels: npt.NDArray[np.int64],
    chosen: npt.NDArray[np.int64],
    recipe: SecondLookRecipe,
) -> float:
    """Trains the upper layers in place and returns the mean loss of the last epoch.

    Args:
        classifier: see `build`.
        views: of all teeth, see `augmented_views`; each epoch takes the next view.
        labels: `[n]`, classes of all teeth.
        chosen: positions of the teeth to train on.
        recipe: how.

    Raises:
        SecondLookError: there is no tooth.
    """
    import tensorflow as tf

    if not len(chosen):
        raise SecondLookError("there is no labelled tooth to train on")
    random = np.random.default_rng(recipe.seed)
    batch = min(recipe.batch_size, len(chosen))
    of_epoch = len(chosen) // batch
    steps = recipe.epochs * of_epoch
    optimizer = tf.keras.optimizers.AdamW(weight_decay=recipe.weight_decay)
    optimizer.build(classifier.upper.trainable_variables)
    step = _build_step(classifier.upper, optimizer, recipe)
    losses: list[float] = []
    bar = tqdm(range(steps), desc="second look", unit="step")
    for number in bar:
        if number % of_epoch == 0:
            order = random.permutation(chosen)
        rows = order[number % of_epoch * batch :][:batch]
        # Teeth of a batch are at different views, so that each batch has all kinds.
        view = (number // of_epoch + rows) % len(views)
        optimizer.learning_rate.assign(learning_rate(number, steps, recipe.learning_rate))
        losses.append(float(step(views[view, rows], labels[rows])))
        bar.set_postfix(loss=f"{np.mean(losses[-of_epoch:]):.3f}")
    return float(np.mean(losses[-of_epoch:]))


def learning_rate(step: int, steps: int, highest: float) -> float:
    """Of a step counted from 0: linear warm-up over a tenth of the steps, then half a cosine that ends at 0."""
    warm_up = steps // 10
    if step < warm_up:
        return highest * (step + 1) / warm_up
    return highest * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def _build_step(upper: Any, optimizer: Any, recipe: SecondLookRecipe) -> Callable[..., Any]:
    import tensorflow as tf

    count = classes(recipe)

    @tf.function  # type: ignore[untyped-decorator]
    def step(features: Any, labels: Any) -> Any:
        targets = tf.one_hot(labels, count) * (1 - recipe.label_smoothing) + recipe.label_smoothing / count
        with tf.GradientTape() as tape:
            logits = upper(tf.cast(features, tf.float32), training=True)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))
        gradients = tape.gradient(loss, upper.trainable_variables)
        optimizer.apply_gradients(zip(gradients, upper.trainable_variables, strict=True))
        return loss

    run: Callable[..., Any] = step
    return run


class Look:
    """A trained classifier at work."""

    def __init__(self, classifier: Classifier) -> None:
        import tensorflow as tf

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def logits_of(batch: Any) -> Any:
            return classifier.whole(tf.cast(batch, tf.float32) / 127.5 - 1.0, training=False)

        self._logits_of = logits_of
        self._classes: int = classifier.whole.output_shape[-1]

    def at(self, crops: Pixels, *, mirror: bool = True) -> npt.NDArray[np.float64]:
        """The probability of each class, float64 `[n, classes]`.

        Args:
            crops: uint8 `[n, crop_size, crop_size, 3]`.
            mirror: average the logits with those of the mirrored crop, which takes twice the time.
        """
        found = [np.zeros((0, self._classes))]
        for start in range(0, len(crops), BATCH):
            batch = crops[start : start + BATCH]
            logits = self._logits_of(batch).numpy().astype(np.float64)
            if mirror:
                logits = (logits + self._logits_of(batch[:, :, ::-1]).numpy()) / 2
            exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
            found.append(exponentials / exponentials.sum(axis=1, keepdims=True))
        return np.concatenate(found)


def save_weights(classifier: Classifier, path: Path) -> None:
    """Writes every weight to an `.npz` file, whole or not at all."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, *classifier.whole.get_weights())
    partial.replace(path)


def load_weights(classifier: Classifier, path: Path) -> None:
    """What `save_weights` wrote, into a classifier of the same recipe."""
    with np.load(path) as file:
        classifier.whole.set_weights([file[name] for name in file.files])
