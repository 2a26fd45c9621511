"""Batches of augmented photos, each a function of the seed and the step alone.

The Object Detection API's `inputs.train_input` decodes, augments, resizes and pads. This module chooses the photos of a
step, each epoch a permutation of all, and seeds their augmentation. So step 1,234 has the same pixels if the training
ran through, was resumed there, or shares its batches between devices.
"""

from collections.abc import Sequence
from typing import Any

from training.model.augmentation import UNCHANGED, Augmentation
from training.model.randomness import stateless


def training_batches(
    configs: dict[str, Any],
    model: Any,
    *,
    seed: int,
    first_step: int,
    augmentation: Augmentation = UNCHANGED,
    input_context: Any = None,
) -> Any:
    """An endless `tf.data.Dataset` of `(features, labels)`, see `inputs.train_input`.

    All records stay in memory as on disk, about 60 KB for a photo of 640 pixels, once if their file is listed several
    times, which draws them as often in an epoch. The configs are from the API's
    `get_configs_from_pipeline_file`; the model preprocesses; `first_step` is the number of steps done; the input
    context states the part of each batch that this worker's replicas take, all if None.
    """
    from training.compat import tf
    from object_detection import inputs
    from object_detection.builders import decoder_builder

    train_config = configs["train_config"]
    workers = input_context.num_input_pipelines if input_context else 1
    worker = input_context.input_pipeline_id if input_context else 0

    def build(reader: Any, batch_size: int, transform_input_data_fn: Any, input_context: Any, **_: Any) -> Any:
        per_replica = input_context.get_per_replica_batch_size(batch_size) if input_context else batch_size
        share = batch_size // workers
        records, order = read_records(reader.tf_record_input_reader.input_path)
        count = len(order)
        records, order = tf.constant(records, tf.string), tf.constant(order, tf.int64)
        decoder = decoder_builder.build(reader)

        def example(place: Any) -> Any:
            step, position = place // share, place % share
            sample = step * batch_size + worker * share + position
            epoch = tf.stack([tf.constant(seed, tf.int64), sample // count])
            index = tf.random.experimental.index_shuffle(sample % count, epoch, tf.constant(count - 1, tf.int64))
            with stateless(tf.stack([tf.constant(seed, tf.int64), sample])):
                return transform_input_data_fn(
                    augmentation.apply(decoder.decode(tf.gather(records, tf.gather(order, index))))
                )

        places = tf.data.Dataset.range(first_step * share, train_config.num_steps * share)
        as_written = tf.autograph.experimental.do_not_convert(example)  # see `training.model.train`
        photos = places.map(as_written, tf.data.AUTOTUNE, deterministic=True)
        # An endless dataset tells TensorFlow that no batch will be smaller, on any worker.
        return photos.batch(per_replica, drop_remainder=True).prefetch(tf.data.AUTOTUNE).repeat()

    replaced = inputs.INPUT_BUILDER_UTIL_MAP["dataset_build"]
    inputs.INPUT_BUILDER_UTIL_MAP["dataset_build"] = build
    try:
        return inputs.train_input(
            train_config=train_config,
            train_input_config=configs["train_input_config"],
            model_config=configs["model"],
            model=model,
            input_context=input_context,
        )
    finally:
        inputs.INPUT_BUILDER_UTIL_MAP["dataset_build"] = replaced


def read_records(paths: Sequence[str]) -> tuple[list[bytes], list[int]]:
    """The records of each file once, and their positions in the order of `paths`."""
    from training.compat import tf

    records: list[bytes] = []
    positions: dict[str, range] = {}
    for path in paths:
        if path not in positions:
            start = len(records)
            records += tf.data.TFRecordDataset(path).as_numpy_iterator()
            positions[path] = range(start, len(records))
    return records, [position for path in paths for position in positions[path]]
