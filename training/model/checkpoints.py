"""Find and load the checkpoints of a training."""

from collections.abc import Sequence
from pathlib import Path

from training.errors import TrainingError
from training.model.configure import input_size_of, parse_pipeline
from training.model.model_runtime import ModelRuntime, build_variables
from training.run_folder import RunFolder

BEST = "best"
"""Subfolder of the checkpoint with the best figure on the held-out photos."""


class CheckpointError(TrainingError):
    """There is no such checkpoint, or it belongs to another detector."""


def find_checkpoint(place: Path, which: str = "latest") -> Path:
    """The prefix `ckpt-N` of a checkpoint, given this prefix, or a folder and `latest` or `best`. Raises
    CheckpointError: there is none."""
    from training.compat import tf

    folder = place / BEST if which == BEST else place
    prefix = tf.train.latest_checkpoint(str(folder)) if place.is_dir() else str(place)
    if prefix is None or not Path(f"{prefix}.index").is_file():
        hint = "; the best one is saved if the recipe sets evaluate_every" if which == BEST else ""
        raise CheckpointError(f"there is no checkpoint in {folder}{hint}")
    return Path(prefix)


def load_trained(folder: RunFolder) -> ModelRuntime:
    """The detector of a run's latest checkpoint. Raises CheckpointError, RunError: there is no checkpoint, or it is of
    another detector."""
    recipe, _ = folder.configured()
    checkpoint = find_checkpoint(folder.checkpoints)
    return load_checkpoint(folder.pipeline_config, checkpoint, multi_scale=recipe.multi_scale)


def load_checkpoint(pipeline_config: Path, checkpoint: Path, *, multi_scale: Sequence[int] = ()) -> ModelRuntime:
    """The detector of a checkpoint (prefix `ckpt-N`), without exporting it; `multi_scale` are further input sizes.
    Raises CheckpointError: it is not of the detector in this configuration."""
    from training.compat import leave_training_mode, tf
    from object_detection.builders import model_builder

    leave_training_mode()
    pipeline = parse_pipeline(pipeline_config.read_text(encoding="utf-8"))
    model = model_builder.build(pipeline.model, is_training=False)
    height, width = input_size_of(pipeline)
    runtime = ModelRuntime(model, height, width, multi_scale=multi_scale)
    status = tf.train.Checkpoint(model=model).restore(str(checkpoint))
    build_variables(model, height, width)  # which then take their values
    try:
        status.assert_existing_objects_matched()
    except AssertionError as error:
        raise CheckpointError(f"{checkpoint} is not a checkpoint of the detector in {pipeline_config}") from error
    return runtime
