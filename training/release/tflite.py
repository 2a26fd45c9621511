"""Convert a checkpoint to TFLite, which LiteRT runs on a CPU without TensorFlow: float32, float16 and int8.

Every file takes a photo as float32 `[1, height, width, 3]`, RGB, -1 to 1, and returns count, scores, classes from 0 and
boxes in its signature's `output_0` to `output_3`; those of a further input size in `output_4` to `output_7`, and so on.
"""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from app.detector.bundle import FLOAT32_MODEL, INT8_MODEL
from app.detector.runtimes.litert import model_input
from app.photo.decoding import decode
from training.data.annotations import AnnotatedPhoto
from training.errors import TrainingError
from training.model.configure import input_size_of, parse_pipeline
from training.model.multi_scale import scaled
from training.output import write_file
from training.release.export import save_graphs

FLOAT16_MODEL = "model_float16.tflite"

FILES = {"float32": FLOAT32_MODEL, "float16": FLOAT16_MODEL, "int8": INT8_MODEL}
"""Precision to file name. Float16 halves the file and is computed in float32 on a CPU; int8 quantises weights and
activations except those of `FLOAT_LAYERS`."""

FLOAT_LAYERS = re.compile(r"/(Conv1|expanded_conv|block_[123])[_/]")
"""The first layers of MobileNetV2, down to an eighth of the photo's size, which stay float32 in the int8 model: their
rounding would affect all later layers."""

MAX_DETECTIONS = 100
"""Boxes that the detection postprocessing inside the models returns, the same number as the stock SavedModel."""

POSTPROCESSING = b"TFLite_Detection_PostProcess"
"""LiteRT's custom operation for box decoding and non-maximum suppression."""

MAX_REPRESENTATIVE_PHOTOS = 200
"""Photos of the training part that give the int8 model the range of its activations."""


class ConversionError(TrainingError):
    """The detector cannot be converted to TFLite, or a TFLite file has no detection postprocessing."""


def can_be_converted(pipeline: Any) -> bool:
    """Whether the Object Detection API converts this detector to TFLite: SSD and CenterNet, not Faster R-CNN."""
    return pipeline.model.WhichOneof("model") in ("ssd", "center_net")


def convert(
    pipeline_config: Path,
    checkpoint: Path,
    out: Path,
    *,
    representative: Sequence[AnnotatedPhoto],
    precisions: Sequence[str] = tuple(FILES),
    multi_scale: Sequence[int] = (),
) -> list[Path]:
    """Write a `.tflite` file of each precision of a checkpoint (prefix `ckpt-N`) to the folder `out`; return them.

    Args:
        representative: photos of the training part, for int8.
        multi_scale: further input sizes, see `training.recipe.Recipe`.

    Raises:
        ConversionError: no photo for int8, or an architecture that cannot be converted.
    """
    from training.compat import leave_training_mode, tf

    leave_training_mode()
    pipeline = parse_pipeline(pipeline_config.read_text(encoding="utf-8"))
    if not can_be_converted(pipeline):
        raise ConversionError(
            f"{pipeline.model.WhichOneof('model')} cannot be converted to TFLite, only SSD and CenterNet: serve its "
            "SavedModel with TensorFlow"
        )
    if "int8" in precisions and not representative:
        raise ConversionError("int8 needs photos of the training part, and there are none")
    height, width = input_size_of(pipeline)

    def representative_inputs() -> Iterator[list[Any]]:
        for photo in tqdm(representative[:MAX_REPRESENTATIVE_PHOTOS], desc="int8", unit="photo", leave=False):
            yield [model_input(decode(photo.path.read_bytes()).pixels, height, width)]

    conversions: dict[str, Callable[[Any], bytes]] = {
        "float32": lambda converter: converter.convert(),
        "float16": _to_float16,
        "int8": lambda converter: _to_int8(converter, representative_inputs),
    }
    out.mkdir(parents=True, exist_ok=True)
    written = []
    with tempfile.TemporaryDirectory() as folder:
        _save_graph(pipeline, checkpoint, folder, multi_scale)
        for precision in precisions:
            converter = tf.lite.TFLiteConverter.from_saved_model(folder)
            # The detection postprocessing is a custom operation that LiteRT has built in.
            converter.allow_custom_ops = True
            written.append(write_file(out / FILES[precision], conversions[precision](converter)))
    return written


def set_nms_score_threshold(file: Path, threshold: float) -> None:
    """Change only the lowest score of the boxes that a `.tflite` file returns, 0 to 1. Raises ConversionError: it has
    no detection postprocessing, which `convert` gives SSD models."""
    from flatbuffers import flexbuffers
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(file))
    operators = [
        operator
        for graph in model.subgraphs
        for operator in graph.operators
        if model.operatorCodes[operator.opcodeIndex].customCode == POSTPROCESSING
    ]
    if not operators:
        raise ConversionError(f"{file} has no {POSTPROCESSING.decode()}, which takes the lowest score")
    for operator in operators:
        options = {**flexbuffers.Loads(bytes(operator.customOptions)), "nms_score_threshold": float(threshold)}
        operator.customOptions = list(flexbuffers.Dumps(options))
    write_file(file, bytes(flatbuffer_utils.convert_object_to_bytearray(model)))


def _to_float16(converter: Any) -> bytes:
    from training.compat import tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return converter.convert()  # type: ignore[no-any-return]


def _to_int8(converter: Any, representative: Callable[[], Iterator[list[Any]]]) -> bytes:
    from tensorflow.lite.tools import flatbuffer_utils

    from training.compat import tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.representative_dataset = representative
    # The only public way to exclude layers. It measures the ranges of activations here, once.
    debugger = tf.lite.experimental.QuantizationDebugger(converter=converter, debug_dataset=representative)
    calibrated = flatbuffer_utils.convert_bytearray_to_object(debugger.calibrated_model)
    names = [tensor.name.decode() for graph in calibrated.subgraphs for tensor in graph.tensors]
    debugger.options = tf.lite.experimental.QuantizationDebugOptions(
        denylisted_nodes=[name for name in names if FLOAT_LAYERS.search(name)]
    )
    return debugger.get_nondebug_quantized_model()  # type: ignore[no-any-return]


def _save_graph(pipeline: Any, checkpoint: Path, folder: str, multi_scale: Sequence[int]) -> None:
    """Save the converter's input: batch 1, fixed size, postprocessing as one custom operation."""
    from training.compat import tf
    from object_detection import export_tflite_graph_lib_tf2 as api
    from object_detection.builders import model_builder

    if pipeline.model.WhichOneof("model") == "ssd":
        model = model_builder.build(pipeline.model, is_training=False)
        # Regular non-maximum suppression, class by class as in the SavedModel.
        module = api.SSDModule(pipeline, model, MAX_DETECTIONS, True)
        if pipeline.model.ssd.feature_extractor.type.startswith("ssd_mobilenet"):

            def to_model(image: Any) -> Any:
                return image  # this backbone computes on -1 to 1

        else:

            def to_model(image: Any) -> Any:
                return model._feature_extractor.preprocess((image + 1.0) * 127.5)
    else:
        module = api.CenterNetModule(pipeline, MAX_DETECTIONS, include_keypoints=False)
        model = module.get_model()

        def to_model(image: Any) -> Any:
            return (image + 1.0) * 127.5  # its own preprocessing is inside

    def detect(input: Any) -> Any:
        sizes = (input.shape[1], *multi_scale)
        outputs = [module.inference_fn.python_function(to_model(scaled(input, size))) for size in sizes]
        return [output for of_size in outputs for output in of_size]

    status = tf.train.Checkpoint(model=model).restore(str(checkpoint)).expect_partial()
    photo = tf.TensorSpec(shape=module.input_shape(), dtype=tf.float32, name="input")
    concrete = tf.function(detect, input_signature=[photo], autograph=False).get_concrete_function()
    status.assert_existing_objects_matched()
    save_graphs(list(concrete.variables), folder, concrete)
