"""Export a checkpoint as SavedModel, for TensorFlow and TensorFlow Serving."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.detector.runtimes.tensorflow import BATCH_SIGNATURE
from training.model.configure import input_size_of, parse_pipeline
from training.model.multi_scale import detect_at_sizes

SAVED_MODEL = "saved_model"


def export(pipeline_config: Path, checkpoint: Path, out: Path, *, multi_scale: Sequence[int] = ()) -> Path:
    """Write the SavedModel of a checkpoint (prefix `ckpt-N`) to the folder `out`, replacing an earlier one; return it.
    `multi_scale` are further input sizes, see `training.recipe.Recipe`."""
    from training.compat import leave_training_mode, tf
    from object_detection import exporter_lib_v2
    from object_detection.builders import model_builder

    leave_training_mode()
    pipeline = parse_pipeline(pipeline_config.read_text(encoding="utf-8"))
    model = model_builder.build(pipeline.model, is_training=False)
    status = tf.train.Checkpoint(model=model).restore(str(checkpoint)).expect_partial()
    if multi_scale:
        single = _signature(model, multi_scale, tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor"))
    else:
        # Without AutoGraph, see `training.model.train`.
        api = exporter_lib_v2.DetectionFromImageModule(model).__call__
        single = tf.function(
            api.python_function, input_signature=api.input_signature, autograph=False
        ).get_concrete_function()
    status.assert_existing_objects_matched()
    height, width = input_size_of(pipeline)
    # The API's signature resizes the photos of a batch one by one, since they may be of any size.
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
    """Write a SavedModel of these concrete functions, which `tf.saved_model.save` takes, without the Keras layers' own,
    so that it loads ten times faster."""
    from training.compat import tf

    module = tf.Module()
    module.model_variables = variables
    tf.saved_model.save(module, folder, signatures=signatures)


def _signature(model: Any, multi_scale: Sequence[int], photos: Any) -> Any:
    """From uint8 photos to the boxes, scores and classes of each; see `app.detector.runtimes.tensorflow`."""
    from training.compat import tf

    def from_photos(photos: Any) -> dict[str, Any]:
        return detect_at_sizes(model, tf.cast(photos, tf.float32), multi_scale)

    return tf.function(from_photos, input_signature=[photos], autograph=False).get_concrete_function()
