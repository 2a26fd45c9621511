"""Augmentation that the Object Detection API lacks: rotation by any angle, zooming out, and white balance.

It precedes the API's own steps. Random numbers are drawn as the API draws them, so that `training.model.randomness`
makes them functions of a seed.
"""

import math
from dataclasses import dataclass
from typing import Any, Self

from training.recipe import Recipe

MAX_FRAME = 1.6
"""Largest frame of a photo that is zoomed out, in multiples of its width and height."""

GREY = 110.0
"""Colour of the frame and of the corners that rotation leaves empty."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Attributes: largest rotation in degrees, to either side; share of the photos set into a larger grey frame;
    largest relative change of red and of blue."""

    rotation: float = 0.0
    zoom_out: float = 0.0
    white_balance: float = 0.0

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Self:
        return cls(recipe.rotation, recipe.zoom_out, recipe.white_balance)

    def apply(self, example: dict[str, Any]) -> dict[str, Any]:
        """A decoded example (`TfExampleDecoder.decode`), changed at random; symbolic or eager tensors.

        No tooth is lost: the frame grows with the rotated photo.
        """
        from training.compat import tf
        from object_detection.core.standard_fields import InputDataFields

        if self == UNCHANGED:
            return example
        uniform = tf.compat.v1.random_uniform
        pixels = tf.cast(example[InputDataFields.image], tf.float32)
        if self.white_balance:
            red, blue = tf.unstack(uniform([2], 1 - self.white_balance, 1 + self.white_balance))
            pixels = tf.minimum(pixels * tf.stack([red, 1.0, blue]), 255.0)
        changed = dict(example)
        if self.rotation or self.zoom_out:
            limit = math.radians(self.rotation)
            angle = uniform([], -limit, limit)
            zoom = tf.where(uniform([]) < self.zoom_out, uniform([], 1.0, MAX_FRAME), 1.0)
            boxes = example[InputDataFields.groundtruth_boxes]
            pixels, changed[InputDataFields.groundtruth_boxes] = turn(pixels, boxes, angle, zoom, uniform([2]))
        changed[InputDataFields.image] = tf.saturate_cast(tf.round(pixels), tf.uint8)
        return changed


UNCHANGED = Augmentation()
"""No change."""


def turn(pixels: Any, boxes: Any, angle: Any, zoom: Any, place: Any) -> tuple[Any, Any]:
    """A photo rotated around its centre in a frame that contains all of it, and the boxes in the frame.

    A box rotates as the ellipse inside it, which is closer to a tooth than the box. Pixels are float32 `[height, width,
    3]`, boxes float32 `[n, 4]`, fractions; the angle is in radians, clockwise; the frame is at least `zoom` times the
    photo; `place` is the position in it, down and right, float32 `[2]`, 0 to 1.
    """
    from training.compat import tf

    size = tf.cast(tf.shape(pixels)[:2], tf.float32)
    cos, sin = tf.cos(angle), tf.sin(angle)
    turned = tf.stack([size[0] * tf.abs(cos) + size[1] * tf.abs(sin), size[1] * tf.abs(cos) + size[0] * tf.abs(sin)])
    # Minus a thousandth of a pixel, so that rounding does not enlarge a photo that is not rotated.
    frame = tf.math.ceil(tf.maximum(size * zoom, turned) - 1e-3)
    centre = turned / 2 + (frame - turned) * place
    # From frame to photo, in pixels. The centre of pixel 0 is at 0.5.
    down, right = (centre[0] - 0.5, centre[1] - 0.5)
    transform = tf.stack(
        [
            *(cos, sin, size[1] / 2 - 0.5 - cos * right - sin * down),
            *(-sin, cos, size[0] / 2 - 0.5 + sin * right - cos * down),
            *(0.0, 0.0),
        ]
    )
    framed = tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels[tf.newaxis],
        transforms=transform[tf.newaxis],
        output_shape=tf.cast(frame, tf.int32),
        fill_value=GREY,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[0]
    low, high = boxes[:, :2] * size, boxes[:, 2:] * size
    half, offset = (high - low) / 2, (low + high) / 2 - size / 2
    middle = centre + tf.stack([cos * offset[:, 0] + sin * offset[:, 1], cos * offset[:, 1] - sin * offset[:, 0]], 1)
    squares = [(half[:, 0] * cos) ** 2 + (half[:, 1] * sin) ** 2, (half[:, 1] * cos) ** 2 + (half[:, 0] * sin) ** 2]
    reach = tf.sqrt(tf.stack(squares, 1))
    in_frame = tf.concat([(middle - reach) / frame, (middle + reach) / frame], 1)
    return tf.ensure_shape(framed, [None, None, 3]), tf.clip_by_value(in_frame, 0.0, 1.0)
