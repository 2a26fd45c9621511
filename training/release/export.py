"""A checkpoint to a SavedModel, as TensorFlow and TensorFlow Serving run it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.detector.runtimes.tensorflow import BATCH_SIGNATURE
from training.errors import TrainingError
from training.model.configure import input_size_of, parse_pipeline
from training.model.multi_scale import detect_at_sizes
from training.model.train import BEST

SAVED_MODEL = "saved_model"


class ExportError(TrainingError):
    """There is no such checkpoint, or the architecture cannot be exported so."""


def find_checkpoint(checkpoints: Path, which: str = "latest") -> Path:
    """The folder that holds the checkpoint: `latest`, or `best` by the figure on the held-out photos.

    Raises:
        ExportError: there is none.
    """
    import training.compat  # noqa: F401  isort: skip
    import tensorflow as tf

    folder = checkpoints / BEST if which == "best" else checkpoints
    if tf.train.latest_checkpoint(str(folder)) is None:
        hint = "; the best one is kept where the recipe sets evaluate_every" if which == "best" else ""
        raise ExportError(f"{folder} holds no checkpoint to export{hint}")
    return folder


def export(pipeline_config: Path, checkpoint: Path, out: Path, *, multi_scale: Sequence[int] = ()) -> Path:
    """Writes the SavedModel to the folder `out`, replacing what was there, and returns it.

    Args:
        pipeline_config: the configuration that the checkpoint was trained with.
        checkpoint: folder of checkpoints, of which the latest is exported.
        out: the SavedModel.
        multi_scale: further sizes at which it looks, see `training.recipe.Recipe`.

    Raises:
        ExportError: the folder holds no checkpoint.
    """
    import training.compat  # isort: skip
    import tensorflow as tf
    from object_detection import exporter_lib_v2
    from object_detection.builders import model_builder

    training.compat.leave_training_mode()
    find_checkpoint(checkpoint)
    pipeline = parse_pipeline(pipeline_config.read_text(encoding="utf-8"))
    model = model_builder.build(pipeline.model, is_training=False)
    status = tf.train.Checkpoint(model=model).restore(tf.train.latest_checkpoint(str(checkpoint))).expect_partial()
    if multi_scale:
        single = _signature(model, multi_scale, tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor"))
    else:
        single = _as_written(exporter_lib_v2.DetectionFromImageModule(model).__call__).get_concrete_function()
    status.assert_existing_objects_matched()
    height, width = input_size_of(pipeline)
    # What the API exports for one photo of any size goes through its batch photo by photo, to resize each.
    batch = _signature(model, multi_scale, tf.TensorSpec([None, height, width, 3], tf.uint8, name="images"))
    partial = out.with_name(f".{out.name}-partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        save_graphs(list(single.variables), str(partial), {"serving_default": single, BATCH_SIGNATURE: batch})
        shutil.rmtree(out, ignore_errors=True)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


def save_graphs(variables: Sequence[Any], folder: str, signatures: Any) -> None:
    """Writes a SavedModel of graphs without the Keras layers' own functions, which nobody calls: it loads in a tenth of
    the time.

    Args:
        variables: of the graphs.
        folder: for the SavedModel.
        signatures: concrete functions, as `tf.saved_model.save` takes them.
    """
    import tensorflow as tf

    module = tf.Module()
    module.model_variables = variables
    tf.saved_model.save(module, folder, signatures=signatures)


def _as_written(function: Any) -> Any:
    """The same without AutoGraph, see `training.model.train`."""
    import tensorflow as tf

    return tf.function(function.python_function, input_signature=function.input_signature, autograph=False)


def _signature(model: Any, multi_scale: Sequence[int], photos: Any) -> Any:
    """From photos, uint8, to the boxes, scores and classes of each; see `app.detector.runtimes.tensorflow`."""
    import tensorflow as tf

    def from_photos(photos: Any) -> dict[str, Any]:
        return detect_at_sizes(model, tf.cast(photos, tf.float32), multi_scale)

    return tf.function(from_photos, input_signature=[photos], autograph=False).get_concrete_function()
