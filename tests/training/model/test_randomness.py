"""Random numbers inside `stateless` are functions of its seed."""

import numpy as np

from tests.training.model.conftest import stateful_operations


def test_the_same_seed_gives_the_same_numbers_and_two_calls_differ() -> None:
    import tensorflow as tf

    from training.model.randomness import stateless

    @tf.function
    def draw(seed):
        with stateless(tf.stack([seed, tf.constant(1, tf.int64)])):
            return (
                tf.compat.v1.random_uniform([4]),
                tf.compat.v1.random_uniform([4], maxval=9, dtype=tf.int32),
                tf.compat.v1.random.normal([4]),
                tf.compat.v1.random_shuffle(tf.range(9)),
                tf.compat.v1.random_uniform([4]),
            )

    five = tf.constant(5, tf.int64)
    first, again, other = draw(five), draw(five), draw(tf.constant(6, tf.int64))
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(one, three)
    assert not np.array_equal(first[0], first[4])
    assert sorted(first[3].numpy()) == list(range(9))
    assert stateful_operations(draw.get_concrete_function(five)) == []

    @tf.function
    def stateful():
        return tf.compat.v1.random_uniform([4])

    assert stateful_operations(stateful.get_concrete_function()) != [], "TensorFlow is restored outside"
