"""Seeded random numbers for code that uses TensorFlow's stateful random operations.

The Object Detection API augments photos and samples proposals with generators whose state a resumed training cannot
restore and threads share in any order. Inside `stateless(seed)` the same calls return functions of the seed and the
call's place in the code.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock


@contextmanager
def stateless(seed: Any) -> Iterator[None]:
    """Code traced inside draws its random numbers from the seed: int64 `[2]`, possibly a tensor of the traced graph."""
    from training.compat import tf

    calls = 0

    def next_seed() -> Any:
        nonlocal calls
        calls += 1
        return tf.random.experimental.stateless_fold_in(seed, tf.constant(calls, tf.int64))

    def uniform(
        shape: Any, minval: Any = 0, maxval: Any = None, dtype: Any = tf.float32, seed: Any = None, name: Any = None
    ) -> Any:
        high = 1 if maxval is None else maxval
        return tf.random.stateless_uniform(shape, next_seed(), minval, high, tf.as_dtype(dtype), name)

    def normal(
        shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = tf.float32, seed: Any = None, name: Any = None
    ) -> Any:
        return tf.random.stateless_normal(shape, next_seed(), mean, stddev, tf.as_dtype(dtype), name)

    def shuffle(value: Any, seed: Any = None, name: Any = None) -> Any:
        return tf.random.experimental.stateless_shuffle(value, next_seed(), name=name)

    def sample_distorted_bounding_box(
        image_size: Any, bounding_boxes: Any, seed: Any = None, seed2: Any = None, **options: Any
    ) -> Any:
        return tf.image.stateless_sample_distorted_bounding_box(image_size, bounding_boxes, next_seed(), **options)

    replacements: list[tuple[Any, str, Callable[..., Any]]] = [
        (tf.compat.v1, "random_uniform", uniform),
        (tf.compat.v1, "random_normal", normal),
        (tf.compat.v1, "random_shuffle", shuffle),
        (tf.compat.v1.random, "uniform", uniform),
        (tf.compat.v1.random, "normal", normal),
        (tf.compat.v1.random, "shuffle", shuffle),
        (tf.compat.v1.image, "sample_distorted_bounding_box", sample_distorted_bounding_box),
    ]
    with ExitStack() as stack:
        for module, name, replacement in replacements:
            stack.enter_context(mock.patch.object(module, name, replacement))
        yield
