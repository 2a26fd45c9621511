"""Batches are functions of the seed and the step."""

import numpy as np
import pytest

from tests.training.model.conftest import STATEFUL_OPERATIONS
from training.cli import main
from training.model.augmentation import Augmentation

BEFORE_THE_API = Augmentation(rotation=10, zoom_out=0.5, white_balance=0.1)
AUGMENTATION = [
    "random_horizontal_flip {}",
    "random_crop_image { min_area: 0.3 random_coef: 0.1 }",
    "random_adjust_hue {}",
    "random_patch_gaussian { random_coef: 0.0 }",
    "random_jpeg_quality { random_coef: 0.0 }",
    "random_black_patches {}",
    "random_pad_image {}",
    "ssd_random_crop {}",
]


@pytest.fixture
def built(prepared, small_recipe):
    """The API's configuration and detection model of a run with much augmentation."""
    import training.compat  # noqa: F401
    from object_detection.builders import model_builder
    from object_detection.utils import config_util

    settings = [f"--set=data_augmentation={AUGMENTATION!r}", "--set=seed=3"]
    assert main(["configure", "--out", str(prepared), "--recipe", str(small_recipe), *settings]) == 0
    configs = config_util.get_configs_from_pipeline_file(str(prepared / "pipeline.config"))
    return configs, model_builder.build(configs["model"], is_training=True)


def pictures(dataset, count: int) -> list[np.ndarray]:
    return [features["image"].numpy() for features, _ in dataset.take(count)]


def test_a_resumed_training_has_the_batches_of_an_uninterrupted_one(built) -> None:
    from training.model.batches import training_batches

    configs, model = built
    whole = pictures(training_batches(configs, model, seed=3, first_step=0, augmentation=BEFORE_THE_API), 6)
    continued = pictures(training_batches(configs, model, seed=3, first_step=4, augmentation=BEFORE_THE_API), 2)
    np.testing.assert_array_equal(np.stack(whole[4:]), np.stack(continued))
    other = pictures(training_batches(configs, model, seed=4, first_step=0, augmentation=BEFORE_THE_API), 1)
    assert not np.array_equal(other[0], whole[0])
    without = pictures(training_batches(configs, model, seed=3, first_step=0), 1)
    assert not np.array_equal(without[0], whole[0])


def test_every_epoch_is_another_permutation_of_all_photos(built) -> None:
    import tensorflow as tf

    from training.model.batches import training_batches

    configs, model = built
    configs["train_config"].batch_size = 8  # the eight photos of folds 1 to 4
    batches = training_batches(configs, model, seed=3, first_step=0)
    epochs = [features["hash"].numpy() for features, _ in batches.take(3)]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert all(set(epoch) == set(epochs[0]) for epoch in epochs)
    assert not np.array_equal(epochs[0], epochs[1])
    del tf


def test_workers_and_replicas_share_the_batch_of_one_device(built) -> None:
    import tensorflow as tf

    from training.model.batches import training_batches

    configs, model = built
    alone = pictures(training_batches(configs, model, seed=3, first_step=1), 1)[0]
    shares = []
    for worker in range(2):
        context = tf.distribute.InputContext(num_input_pipelines=2, input_pipeline_id=worker, num_replicas_in_sync=4)
        shares += pictures(training_batches(configs, model, seed=3, first_step=1, input_context=context), 2)
    np.testing.assert_array_equal(np.concatenate(shares), alone)


def test_no_random_operation_of_the_augmentation_is_stateful(built) -> None:
    import tensorflow as tf

    from training.model.batches import training_batches

    configs, model = built
    dataset = training_batches(configs, model, seed=3, first_step=0, augmentation=BEFORE_THE_API)
    graph = tf.compat.v1.GraphDef.FromString(dataset._as_serialized_graph().numpy())
    operations = {node.op for function in graph.library.function for node in function.node_def}
    assert operations & {"StatelessRandomUniformV2", "StatelessSampleDistortedBoundingBox"}
    assert not operations & STATEFUL_OPERATIONS


def test_the_anchors_of_a_box_of_weight_0_are_left_out_of_the_loss(built) -> None:
    import tensorflow as tf

    _, model = built
    photo, shapes = model.preprocess(tf.zeros((1, 128, 128, 3)))
    predictions = model.predict(photo, shapes)
    # The detector is sure of both classes at every anchor, so that each one outside a labelled tooth costs much.
    key = "class_predictions_with_background"
    predictions[key] = tf.fill(tf.shape(predictions[key]), 5.0)

    def loss(*weights: float) -> float:
        boxes = tf.constant([[0.1, 0.1, 0.5, 0.5], [0.5, 0.5, 0.9, 0.9]][: len(weights)])
        classes = tf.one_hot([1] * len(weights), 2)
        model.provide_groundtruth([boxes], [classes], groundtruth_weights_list=[tf.constant(weights)])
        return float(model.loss(predictions, shapes)["Loss/classification_loss"])

    assert 0.95 * loss(1.0) < loss(1.0, 0.0) < 0.999 * loss(1.0)
