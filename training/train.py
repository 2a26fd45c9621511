"""Training: the Object Detection API's own model, input pipeline, losses and step, in a loop that can be interrupted.

The loop is that of `object_detection.model_lib_v2.train_loop` for one machine, with a progress bar, seeds, and a
checkpoint that is complete at any moment, so that the same command continues a training that was killed.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from training.errors import TrainingError

CHECKPOINT_EVERY = 100
"""Steps between two checkpoints."""


class DivergedError(TrainingError):
    """The loss is no longer a finite number."""


def train(pipeline_config: Path, out: Path, *, seed: int, checkpoint_every: int | None = None) -> Path:
    """Trains until the configured number of steps and returns the folder of checkpoints, `out`.

    Args:
        pipeline_config: the API's configuration; `train_config.num_steps` says when to stop.
        out: folder of the checkpoints (`ckpt-*`), of `losses.jsonl` (a line each step: step, seconds, losses, learning
            rate) and of TensorBoard's events. A checkpoint found there is continued from.
        seed: of weights, photo order and augmentation.
        checkpoint_every: steps between two checkpoints; `CHECKPOINT_EVERY` if None.

    Raises:
        DivergedError: the loss became infinite or not a number; the last good checkpoint is kept.
    """
    import training.compat  # noqa: F401  isort: skip
    import tensorflow as tf
    from object_detection import inputs, model_lib_v2
    from object_detection.builders import model_builder, optimizer_builder
    from object_detection.utils import config_util

    configs = config_util.get_configs_from_pipeline_file(str(pipeline_config))
    train_config = configs["train_config"]
    out.mkdir(parents=True, exist_ok=True)
    resumed_from = tf.train.latest_checkpoint(str(out))
    done = _step_of(resumed_from)
    total = train_config.num_steps
    if done >= total:
        return out
    # Another seed for each leg of an interrupted training: the same one would replay the photos seen before.
    tf.keras.utils.set_random_seed(seed + done)

    model = model_builder.build(configs["model"], is_training=True)
    dataset = inputs.train_input(
        train_config=train_config,
        train_input_config=configs["train_input_config"],
        model_config=configs["model"],
        model=model,
    ).repeat()
    global_step = tf.Variable(done, trainable=False, dtype=tf.int64, name="global_step")
    optimizer, (learning_rate,) = optimizer_builder.build(train_config.optimizer, global_step=global_step)
    if train_config.fine_tune_checkpoint and resumed_from is None:
        model_lib_v2.load_fine_tune_checkpoint(
            model,
            train_config.fine_tune_checkpoint,
            train_config.fine_tune_checkpoint_type,
            train_config.fine_tune_checkpoint_version,
            True,
            dataset,
            train_config.unpad_groundtruth_tensors,
        )
    checkpoint = tf.train.Checkpoint(step=global_step, model=model, optimizer=optimizer)
    manager = tf.train.CheckpointManager(checkpoint, str(out), max_to_keep=2, step_counter=global_step)
    if resumed_from is not None:
        checkpoint.restore(resumed_from)

    @tf.function  # type: ignore[untyped-decorator]
    def step(features: Any, labels: Any) -> Any:
        losses = model_lib_v2.eager_train_step(
            model,
            features,
            labels,
            train_config.unpad_groundtruth_tensors,
            optimizer,
            training_step=global_step,
            add_regularization_loss=train_config.add_regularization_loss,
            clip_gradients_value=train_config.gradient_clipping_by_norm or None,
        )
        global_step.assign_add(1)
        return losses

    events = tf.summary.create_file_writer(str(out / "events"))
    started = time.monotonic()
    with (
        (out / "losses.jsonl").open("a", buffering=1, encoding="utf-8") as log,
        events.as_default(),
        tqdm(total=total, initial=done, desc="train", unit="step") as bar,
    ):
        for features, labels in dataset.take(total - done):
            values = {name.removeprefix("Loss/"): float(value) for name, value in step(features, labels).items()}
            done += 1
            if not all(abs(value) < float("inf") for value in values.values()):
                raise DivergedError(f"the loss is not finite at step {done}: {values}; lower learning_rate_base")
            values["learning_rate"] = float(learning_rate())
            for name, value in values.items():
                tf.summary.scalar(name, value, step=done)
            seconds = round(time.monotonic() - started, 3)
            log.write(json.dumps({"step": done, "seconds": seconds, **values}) + "\n")
            bar.update()
            bar.set_postfix(
                loss=f"{values['total_loss']:.3f}",
                box=f"{values['localization_loss']:.3f}",
                classes=f"{values['classification_loss']:.3f}",
            )
            if done % (checkpoint_every or CHECKPOINT_EVERY) == 0 or done == total:
                manager.save(checkpoint_number=done)
    return out


def _step_of(checkpoint: str | None) -> int:
    """The step at which a checkpoint `ckpt-N` was saved; 0 for none."""
    return int(checkpoint.rpartition("-")[2]) if checkpoint else 0
