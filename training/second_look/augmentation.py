"""What a crop may look like in training: turned, shifted, zoomed, mirrored, otherwise lit, blurred.

The random numbers come from NumPy, a row for each crop; TensorFlow computes the pixels.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.second_look.recipe import SecondLookRecipe

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Changes:
    """What is done to `n` crops.

    Attributes:
        transforms: `[n, 8]`, from a pixel of the crop to one of its canvas, as `ImageProjectiveTransformV3` takes them.
        gains: `[n, 3]`, factors of red, green and blue: brightness and colour temperature.
        contrasts: `[n]`, factors of the difference to the crop's mean.
        blurs: `[n]`, share of the blurred crop, 0 to 1.
    """

    transforms: Floats
    gains: Floats
    contrasts: Floats
    blurs: Floats


def draw(random: np.random.Generator, count: int, recipe: SecondLookRecipe, canvas: int) -> Changes:
    """Changes for `count` crops of canvases of `canvas` pixels."""
    size = recipe.crop_size
    angles = np.radians(random.uniform(-recipe.rotation, recipe.rotation, count))
    factors = np.exp(random.uniform(-1, 1, count) * np.log1p(recipe.zoom))
    mirrored = np.where(random.random(count) < 0.5, -1.0, 1.0)
    # A crop is `context` boxes wide, so a share of the box's side is so many pixels of the crop.
    shifts = random.uniform(-recipe.shift, recipe.shift, (count, 2)) * size / recipe.context
    brightness = np.exp(random.uniform(-1, 1, count) * np.log1p(recipe.colour))
    warmth = np.exp(random.uniform(-1, 1, count) * np.log1p(recipe.colour) / 2)
    return Changes(
        transforms=_transforms(angles, factors, mirrored, shifts, size, canvas),
        gains=np.column_stack([brightness * warmth, brightness, brightness / warmth]).astype(np.float32),
        contrasts=np.exp(random.uniform(-1, 1, count) * np.log1p(recipe.colour)).astype(np.float32),
        blurs=(random.random(count) * (random.random(count) < recipe.blur)).astype(np.float32),
    )


def _transforms(angles: Any, factors: Any, mirrored: Any, shifts: Any, size: int, canvas: int) -> Floats:
    """Rotation, zoom and mirror about the crop's middle, which lies at the canvas's middle plus the shift."""
    cos, sin = np.cos(angles) * factors, np.sin(angles) * factors
    a, b, d, e = cos * mirrored, -sin, sin * mirrored, cos
    inner, outer = (size - 1) / 2, (canvas - 1) / 2
    c = outer + shifts[:, 0] - (a + b) * inner
    f = outer + shifts[:, 1] - (d + e) * inner
    zeros = np.zeros_like(a)
    return np.column_stack([a, b, c, d, e, f, zeros, zeros]).astype(np.float32)


def as_tensors(changes: Changes) -> tuple[Any, ...]:
    """The arrays in the order in which `apply` takes them."""
    return astuple(changes)


def apply(canvases: Any, transforms: Any, gains: Any, contrasts: Any, blurs: Any, *, crop_size: int) -> Any:
    """The changed crops of a batch.

    Args:
        canvases: uint8 tensor `[n, side, side, 3]`.
        transforms, gains, contrasts, blurs: see `Changes`.
        crop_size: pixels.

    Returns:
        float32 tensor `[n, crop_size, crop_size, 3]` within 0 to 255.
    """
    import tensorflow as tf

    crops = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(canvases, tf.float32),
        transforms=transforms,
        output_shape=[crop_size, crop_size],
        interpolation="BILINEAR",
        fill_mode="NEAREST",
        fill_value=0.0,
    )
    row = tf.constant([1.0, 2.0, 1.0]) / 4
    kernel = tf.tile((row[:, None] * row[None, :])[:, :, None, None], [1, 1, 3, 1])
    blurred = tf.pad(crops, [[0, 0], [2, 2], [2, 2], [0, 0]], "SYMMETRIC")
    for _ in range(2):
        blurred = tf.nn.depthwise_conv2d(blurred, kernel, [1, 1, 1, 1], "VALID")
    crops += blurs[:, None, None, None] * (blurred - crops)
    means = tf.reduce_mean(crops, axis=[1, 2, 3], keepdims=True)
    crops = (crops - means) * contrasts[:, None, None, None] + means
    return tf.clip_by_value(crops * gains[:, None, None, :], 0.0, 255.0)
