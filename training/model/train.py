"""Training: the Object Detection API's own model, input transformation, losses and step, in a resumable loop.

The loop follows `object_detection.model_lib_v2.train_loop` and adds seeds, evaluation on the held-out photos, the best
checkpoint and early stopping. A resumed training repeats an uninterrupted one exactly: photos and augmentation are
functions of seed and step (`training.model.batches`), everything else is in the checkpoint.

Files in the folder of checkpoints:

    ckpt-*                 the two latest checkpoints
    best/ckpt-*            the checkpoint with the best validation figure
    losses.jsonl           per step: step, seconds, losses, learning rate
    evaluations.jsonl      per evaluation: step, figures
    events/                the same for TensorBoard, with pictures
"""

import json
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from training.errors import TrainingError
from training.model.augmentation import UNCHANGED, Augmentation
from training.model.batch_norm import build_reestimation, moving_statistics, needs_reestimation
from training.model.batches import training_batches
from training.model.checkpoints import BEST
from training.model.devices import choose_strategy, is_chief, worker_count
from training.model.model_runtime import ModelRuntime, build_variables
from training.model.randomness import stateless
from training.model.validation import Evaluation, EvaluationLog, Validation
from training.output import write_file

CHECKPOINT_EVERY = 100
"""Steps."""

LOSSES = "losses.jsonl"
EVALUATIONS = "evaluations.jsonl"


class DivergedError(TrainingError):
    """The loss is no longer finite."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The seed of weights, photo order and augmentation; steps between evaluations, 0 for none; evaluations without a
    new best after which the training ends, 0 for never; steps between checkpoints."""

    seed: int
    evaluate_every: int = 0
    early_stop_after: int = 0
    checkpoint_every: int = CHECKPOINT_EVERY


def train(
    pipeline_config: Path,
    out: Path,
    schedule: Schedule,
    *,
    augmentation: Augmentation = UNCHANGED,
    validation: Validation | None = None,
    strategy: Any = None,
) -> Path:
    """Train for the configured number of steps, or until an early stop, and return the folder of checkpoints, `out`,
    the latest of which is resumed.

    The augmentation precedes the configuration's. `training.model.devices.choose_strategy` chooses the
    `tf.distribute.Strategy` if None.

    Raises:
        DivergedError: the loss is no longer finite; the last checkpoint remains.
        DeviceError: the batch cannot be shared equally between the devices.
    """
    from training.compat import tf
    from object_detection.utils import config_util

    configs = config_util.get_configs_from_pipeline_file(str(pipeline_config))
    # First: TensorFlow's workers must find each other before any computation.
    strategy = strategy or choose_strategy(configs["train_config"].batch_size)
    out.mkdir(parents=True, exist_ok=True)
    latest = tf.train.latest_checkpoint(str(out))
    done = step_of(latest)
    log = EvaluationLog(out / EVALUATIONS, up_to_step=done, is_written=is_chief(strategy))
    if done >= configs["train_config"].num_steps or _should_stop(log, schedule):
        return out
    tf.keras.utils.set_random_seed(schedule.seed)
    _Training(configs, out, schedule, augmentation, log, strategy, validation, latest).run()
    return out


def step_of(checkpoint: str | None) -> int:
    """The step of a checkpoint `ckpt-N`; 0 for none."""
    return int(checkpoint.rpartition("-")[2]) if checkpoint else 0


def _should_stop(log: EvaluationLog, schedule: Schedule) -> bool:
    return bool(schedule.early_stop_after) and log.since_best >= schedule.early_stop_after


class _Training:
    """A training from its start, or from a checkpoint, to its end."""

    def __init__(
        self,
        configs: dict[str, Any],
        out: Path,
        schedule: Schedule,
        augmentation: Augmentation,
        log: EvaluationLog,
        strategy: Any,
        validation: Validation | None,
        latest: str | None,
    ) -> None:
        from training.compat import tf
        from object_detection import model_lib_v2
        from object_detection.builders import model_builder, optimizer_builder

        self._configs, self._out, self._schedule, self._log = configs, out, schedule, log
        self._augmentation, self._strategy, self._latest = augmentation, strategy, latest
        self._done = step_of(latest)
        self._total: int = configs["train_config"].num_steps
        self._chief = is_chief(strategy)
        train_config, model_config = configs["train_config"], configs["model"]
        size = getattr(model_config, model_config.WhichOneof("model")).image_resizer.fixed_shape_resizer
        with strategy.scope():
            self._model = model_builder.build(model_config, is_training=True)
            self._batches = self._distribute(schedule.seed, self._done)
            self._step_variable = tf.Variable(
                self._done,
                trainable=False,
                dtype=tf.int64,
                name="global_step",
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )
            self._optimizer, (self._learning_rate,) = optimizer_builder.build(
                train_config.optimizer, global_step=self._step_variable
            )
            build_variables(self._model, size.height, size.width)
            if train_config.fine_tune_checkpoint and latest is None:
                model_lib_v2.load_fine_tune_checkpoint(
                    self._model,
                    train_config.fine_tune_checkpoint,
                    train_config.fine_tune_checkpoint_type,
                    train_config.fine_tune_checkpoint_version,
                    False,  # the model is built
                    None,
                    train_config.unpad_groundtruth_tensors,
                )
            checkpoint = tf.train.Checkpoint(step=self._step_variable, model=self._model, optimizer=self._optimizer)
            if latest is not None:
                checkpoint.restore(latest)
            # The first step would create them, and be traced twice.
            self._optimizer._create_all_weights(self._model.trainable_variables)
        # Every worker takes part in saving; only the chief's files stay.
        self._saved = out if self._chief else out / f".worker-{strategy.cluster_resolver.task_id}"
        self._latest_manager = tf.train.CheckpointManager(checkpoint, str(self._saved), max_to_keep=2)
        self._best_manager = tf.train.CheckpointManager(checkpoint, str(self._saved / BEST), max_to_keep=1)
        self._reestimate = build_reestimation(
            self._model, strategy, unpad_groundtruth=train_config.unpad_groundtruth_tensors
        )
        self._step = self._build_step()
        self._runtime = ModelRuntime(self._model, size.height, size.width)
        self._validation = validation if schedule.evaluate_every else None

    def run(self) -> None:
        from training.compat import tf

        events = tf.summary.create_file_writer(str(self._saved / "events"))
        losses_path = self._saved / LOSSES
        keep_lines(losses_path, self._done)
        started = time.monotonic()
        with (
            losses_path.open("a", buffering=1, encoding="utf-8") as losses,
            events.as_default(),
            tqdm(total=self._total, initial=self._done, desc="train", unit="step", disable=not self._chief) as bar,
        ):
            batches = iter(self._batches)
            while self._done < self._total:
                values = {name.removeprefix("Loss/"): float(value) for name, value in self._step(batches).items()}
                self._done += 1
                if not all(math.isfinite(value) for value in values.values()):
                    raise DivergedError(
                        f"the loss is not finite at step {self._done}: {values}; lower learning_rate_base"
                    )
                values["learning_rate"] = float(self._learning_rate())
                for name, value in values.items():
                    tf.summary.scalar(name, value, step=self._done)
                seconds = round(time.monotonic() - started, 3)
                losses.write(json.dumps({"step": self._done, "seconds": seconds, **values}) + "\n")
                bar.update()
                bar.set_postfix(loss=f"{values['total_loss']:.3f}", best=self._best_text())
                if self._is_due(self._schedule.evaluate_every) and self._validation is not None:
                    self._evaluate()
                    if _should_stop(self._log, self._schedule):
                        break
                if self._is_due(self._schedule.checkpoint_every) and self._done < self._total:
                    self._latest_manager.save(checkpoint_number=self._done)
            # The statistics of the last checkpoint must fit its weights.
            if needs_reestimation(self._model, self._done):
                self._reestimate(self._distribute(self._schedule.seed + 1, 0))
            self._latest_manager.save(checkpoint_number=self._done)
        if not self._chief:
            shutil.rmtree(self._saved, ignore_errors=True)

    def _is_due(self, every: int) -> bool:
        return bool(every) and (self._done % every == 0 or self._done == self._total)

    def _evaluate(self) -> None:
        """Log figures and pictures; save a new best checkpoint."""
        from training.compat import tf

        assert self._validation is not None
        statistics = moving_statistics(self._model) if needs_reestimation(self._model, self._done) else []
        before = [variable.numpy() for variable in statistics]
        if statistics:
            self._reestimate(self._distribute(self._schedule.seed + 1, 0))
        evaluation, pictures = self._validation.evaluate(self._runtime, self._done)
        evaluation = self._agreed(evaluation)
        for name, value in evaluation.figures.items():
            tf.summary.scalar(f"validation/{name}", value, step=self._done)
        pixels = np.stack(pictures)
        tf.summary.image("validation/labels and detections", pixels, step=self._done, max_outputs=len(pictures))
        if self._log.best is None or evaluation.value > self._log.best.value:
            self._best_manager.save(checkpoint_number=self._done)
        self._log.add(evaluation)
        for variable, value in zip(statistics, before, strict=True):
            variable.assign(value)

    def _agreed(self, evaluation: Evaluation) -> Evaluation:
        """The mean of the workers' figures: machines may round differently, but all must decide alike."""
        from training.compat import tf

        if worker_count() == 1:
            return evaluation
        own = self._strategy.run(lambda: tf.constant(list(evaluation.figures.values()), tf.float64))
        mean = self._strategy.reduce(tf.distribute.ReduceOp.MEAN, own, axis=None)
        return Evaluation(evaluation.step, dict(zip(evaluation.figures, mean.numpy().tolist(), strict=True)))

    def _best_text(self) -> str:
        return f"{self._log.best.value:.3f}@{self._log.best.step}" if self._log.best else "-"

    def _distribute(self, seed: int, first_step: int) -> Any:
        return self._strategy.distribute_datasets_from_function(
            lambda context: training_batches(
                self._configs, self._model, seed=seed, first_step=first_step, augmentation=self._augmentation,
                input_context=context,
            )
        )  # fmt: skip

    def _build_step(self) -> Any:
        from training.compat import tf
        from object_detection import model_lib_v2

        train_config, strategy = self._configs["train_config"], self._strategy

        def replica_step(features: Any, labels: Any) -> Any:
            return model_lib_v2.eager_train_step(
                self._model,
                features,
                labels,
                train_config.unpad_groundtruth_tensors,
                self._optimizer,
                training_step=self._step_variable,
                add_regularization_loss=train_config.add_regularization_loss,
                clip_gradients_value=train_config.gradient_clipping_by_norm or None,
                num_replicas=strategy.num_replicas_in_sync,
            )

        # AutoGraph would search the API's code for `if` and `for` over tensors. There are none, and the search takes
        # longer than tracing.
        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def step(batches: Any) -> Any:
            features, labels = next(batches)
            with stateless(tf.stack([tf.constant(self._schedule.seed, tf.int64), self._step_variable.read_value()])):
                losses = strategy.run(replica_step, args=(features, labels))
            self._step_variable.assign_add(1)
            return {
                name: strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None) for name, value in losses.items()
            }

        return step


def seconds_trained(checkpoints: Path) -> float:
    """Seconds of all steps of a training, over all its legs; `checkpoints` is the folder that `train` returned."""
    total = before = 0.0
    for line in (checkpoints / LOSSES).read_text(encoding="utf-8").splitlines():
        seconds = float(json.loads(line)["seconds"])  # since the leg began
        if seconds < before:
            total += before
        before = seconds
    return total + before


def keep_lines(path: Path, count: int) -> None:
    """Cut a log of one line per step back to the step from which a training resumes."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if len(lines) > count:
        write_file(path, "".join(lines[:count]))
