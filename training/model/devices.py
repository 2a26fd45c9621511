"""The devices of a training: one, all GPUs of this machine, or several machines."""

import json
import os
from typing import Any

from training.errors import TrainingError


class DeviceError(TrainingError):
    """The batch cannot be shared equally between the devices, or `TF_CONFIG` is invalid."""


def choose_strategy(batch_size: int) -> Any:
    """The `tf.distribute.Strategy` for the devices of this process.

    - Several workers in the environment variable `TF_CONFIG` (TensorFlow's convention): all of them, by
      `MultiWorkerMirroredStrategy`. The same command runs on every worker, with a shared folder.
    - Several GPUs: all of them, by `MirroredStrategy`.
    - Otherwise the only device.

    Raises DeviceError: the batch cannot be shared equally.
    """
    from training.compat import tf

    if worker_count() > 1:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    elif len(tf.config.list_logical_devices("GPU")) > 1:
        strategy = tf.distribute.MirroredStrategy()
    else:
        strategy = tf.distribute.get_strategy()
    check_batch_size(batch_size, strategy.num_replicas_in_sync)
    return strategy


def check_batch_size(batch_size: int, replicas: int) -> None:
    """Raise DeviceError if the replicas' shares would differ."""
    if batch_size % replicas:
        raise DeviceError(f"batch_size is {batch_size}, allowed is a multiple of {replicas}, the number of devices")


def worker_count() -> int:
    """The number of workers in `TF_CONFIG`; 1 if it is not set. Raises DeviceError: it is not the JSON that TensorFlow
    expects."""
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
