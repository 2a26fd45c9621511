"""Random numbers that depend on a seed alone, for code that asks TensorFlow for random numbers with a hidden state.

The Object Detection API augments photos and samples proposals with operations whose generators live inside the process.
A training that was killed cannot put them back where they were, and two threads that share one draw from it in any
order. Inside `stateless(seed)` the same calls give numbers that are a function of the seed and of the call's place in
the code, so a photo's augmentation is the same in every process that gives it the same seed.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

STATEFUL_OPERATIONS = frozenset(
    {
        "Multinomial",
        "RandomGamma",
        "RandomPoissonV2",
        "RandomShuffle",
        "RandomStandardNormal",
        "RandomUniform",
        "RandomUniformInt",
        "SampleDistortedBoundingBox",
        "SampleDistortedBoundingBoxV2",
        "TruncatedNormal",
    }
)
"""TensorFlow's names of the operations whose numbers depend on what was drawn before."""


@contextmanager
def stateless(seed: Any) -> Iterator[None]:
    """Code that is traced inside draws its random numbers from the seed.

    Args:
        seed: int64 `[2]`, which may be a tensor of the graph that is being traced.
    """
    import tensorflow as tf

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


def stateful_operations(function: Any) -> list[str]:
    """Names of the random operations with a hidden state in a concrete function and in all that it calls."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for item in graph.library.function for node in item.node_def)]
    return sorted(node.name for node in nodes if node.op in STATEFUL_OPERATIONS)
