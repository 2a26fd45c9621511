"""Which devices a training uses: one, all GPUs of this machine, or several machines together."""

import json
import os
from typing import Any

from training.errors import TrainingError


class DeviceError(TrainingError):
    """The devices and the recipe do not go together."""


def choose_strategy(batch_size: int) -> Any:
    """The `tf.distribute.Strategy` for what this process sees.

    - The environment variable `TF_CONFIG` names several workers (TensorFlow's own convention): all of them, by
      `MultiWorkerMirroredStrategy`, the strategy of the API's `model_main_tf2.py`. The same command runs on every
      worker, over a folder that all of them see.
    - Two GPUs or more: all of them, by `MirroredStrategy`.
    - Otherwise the only device.

    Raises:
        DeviceError: the batch cannot be shared equally.
    """
    import tensorflow as tf

    if worker_count() > 1:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    elif len(tf.config.list_logical_devices("GPU")) > 1:
        strategy = tf.distribute.MirroredStrategy()
    else:
        strategy = tf.distribute.get_strategy()
    check_batch_size(batch_size, strategy.num_replicas_in_sync)
    return strategy


def check_batch_size(batch_size: int, replicas: int) -> None:
    """Raises DeviceError where the replicas' shares would differ."""
    if batch_size % replicas:
        raise DeviceError(f"batch_size is {batch_size}, allowed is a multiple of {replicas}, the number of devices")


def worker_count() -> int:
    """Workers that `TF_CONFIG` names; 1 where it is not set.

    Raises:
        DeviceError: it is not the JSON that TensorFlow expects.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return 1
    try:
        cluster = json.loads(text).get("cluster", {})
        return max(1, sum(len(cluster.get(job, [])) for job in ("chief", "worker")))
    except (ValueError, AttributeError, TypeError) as error:
        raise DeviceError(f"TF_CONFIG is not JSON with a cluster of workers: {error}") from error


def is_chief(strategy: Any) -> bool:
    """Whether this process writes the checkpoints and the log."""
    return bool(strategy.extended.should_checkpoint)
