"""The committed detector for every runtime, from its two TFLite files. Runs in the environment of `requirements.txt`.

    python -m benchmarks.runtimes.convert BUNDLE CALIBRATION.npy OUT

Args:
    BUNDLE: folder of a bundle.
    CALIBRATION.npy: uint8 `[photos, height, width, 3]`, RGB, of the training part: from these the static quantisations
        learn the range of activations.
    OUT: folder for the files that `benchmarks.runtimes.compare` lists, and `POSTPROCESSING`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from app.detector.bundle import FLOAT32_MODEL, INT8_MODEL
from app.detector.runtimes.litert import model_input
from benchmarks.runtimes.postprocess import POSTPROCESSING, Postprocessing
from benchmarks.runtimes.tflite_files import cut_postprocess, set_score_threshold

SCORE_THRESHOLD = 0.05
"""Of non-maximum suppression: AP is that of 0, and most of the 12,804 anchors are out of it at once."""

OPSET = 17


def main() -> int:
    bundle, calibration, out = (Path(argument) for argument in sys.argv[1:4])
    photos = np.load(calibration)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copy(bundle / FLOAT32_MODEL, out / "committed_float32.tflite")
    shutil.copy(bundle / INT8_MODEL, out / "committed_int8.tflite")
    for precision in ("float32", "int8"):
        set_score_threshold(out / f"committed_{precision}.tflite", out / f"{precision}.tflite", SCORE_THRESHOLD)
        postprocessing = cut_postprocess(out / f"{precision}.tflite", out / f"heads_{precision}.tflite")
        to_onnx(out / f"heads_{precision}.tflite", out / f"heads_{precision}.onnx")
        add_postprocess(out / f"heads_{precision}.onnx", postprocessing, out / f"{precision}.onnx")
    postprocessing.save(out / POSTPROCESSING)
    requantize(out / "float32.tflite", out)
    quantize_onnx(out / "heads_float32.onnx", photos, out / "heads_int8_static.onnx")
    add_postprocess(out / "heads_int8_static.onnx", postprocessing, out / "int8_static.onnx")
    quantize_openvino(out / "heads_float32.tflite", photos, out / "heads_int8_nncf.xml")
    return 0


def inputs(photos: np.ndarray) -> Iterator[np.ndarray]:
    """What the detector takes, of each photo: float32 `[1, height, width, 3]` within -1 to 1."""
    for pixels in photos:
        yield model_input(pixels, *photos.shape[1:3])


def to_onnx(heads: Path, out: Path) -> None:
    """A TFLite file without its postprocessing to ONNX; what is quantised there stays quantised as it was."""
    import tf2onnx.convert

    tf2onnx.convert.from_tflite(str(heads), opset=OPSET, output_path=str(out))


def add_postprocess(heads: Path, postprocessing: Postprocessing, out: Path) -> None:
    """The ONNX file with boxes decoded and non-maximum suppression by ONNX's own operations.

    Outputs: boxes `[1, anchors, 4]`, scores `[1, classes, anchors]` and what is selected, `[n, 3]`, for
    `Postprocessing.best`.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(heads)
    graph = model.graph
    encodings, scores = (output.name for output in graph.output)
    classes = graph.output[1].type.tensor_type.shape.dim[2].dim_value - 1
    centers, sizes = postprocessing.anchors[:, :2], postprocessing.anchors[:, 2:]
    constants = {
        "scales": postprocessing.scales,
        "anchor_centers": centers,
        "anchor_sizes": sizes,
        "anchor_halves": sizes / 2,
        "background": np.array([1, classes], np.int64),
        "max_detections": np.array([postprocessing.max_detections], np.int64),
        "iou_threshold": np.array([postprocessing.iou_threshold], np.float32),
        "score_threshold": np.array([postprocessing.score_threshold], np.float32),
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    graph.node.extend(
        helper.make_node(operation, inputs.split(), outputs.split(), **attributes)
        for operation, inputs, outputs, attributes in (
            ("Div", f"{encodings} scales", "scaled", {}),
            ("Split", "scaled", "shifts growths", {"axis": 2}),
            ("Mul", "shifts anchor_sizes", "shifted", {}),
            ("Add", "shifted anchor_centers", "box_centers", {}),
            ("Exp", "growths", "grown", {}),
            ("Mul", "grown anchor_halves", "box_halves", {}),
            ("Sub", "box_centers box_halves", "box_minima", {}),
            ("Add", "box_centers box_halves", "box_maxima", {}),
            ("Concat", "box_minima box_maxima", "boxes", {"axis": 2}),
            ("Split", f"{scores} background", "of_background of_classes", {"axis": 2}),
            ("Transpose", "of_classes", "by_class", {"perm": [0, 2, 1]}),
            ("NonMaxSuppression", "boxes by_class max_detections iou_threshold score_threshold", "selected", {}),
        )
    )
    del graph.output[:]
    for name, kind in (("boxes", TensorProto.FLOAT), ("by_class", TensorProto.FLOAT), ("selected", TensorProto.INT64)):
        graph.output.append(helper.make_tensor_value_info(name, kind, None))
    onnx.save(model, out)


def requantize(float32: Path, out: Path) -> None:
    """The float32 TFLite file with float16 weights, and with int8 weights and activations quantised as they come."""
    from ai_edge_quantizer import quantizer, recipe

    weights = {"num_bits": 16, "symmetric": True, "granularity": "TENSORWISE", "dtype": "FLOAT"}
    operations = {"weight_tensor_config": weights, "compute_precision": "FLOAT", "explicit_dequantize": True}
    float16 = [{"regex": ".*", "operation": "*", "algorithm_key": "float_casting", "op_config": operations}]
    for name, chosen in (("float16", float16), ("dynamic_range", recipe.dynamic_wi8_afp32())):
        work = quantizer.Quantizer(str(float32))
        work.load_quantization_recipe(chosen)
        work.quantize().export_model(str(out / f"{name}.tflite"), overwrite=True)


def quantize_onnx(float32: Path, photos: np.ndarray, out: Path) -> None:
    """Static quantisation by ONNX Runtime.

    Weights have 7 bits: where the CPU lacks VNNI, sums of products of 8 bits saturate (ONNX Runtime's documentation of
    quantisation, "When and why do I need to try reduce_range").
    """
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = out.with_suffix(".prepared.onnx")
    quant_pre_process(str(float32), str(prepared), skip_symbolic_shape=True)
    name = onnxruntime.InferenceSession(str(float32), providers=["CPUExecutionProvider"]).get_inputs()[0].name

    class Photos(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._inputs = inputs(photos)

        def get_next(self) -> Any:
            taken = next(self._inputs, None)
            return None if taken is None else {name: taken}

    quantize_static(
        str(prepared),
        str(out),
        Photos(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Add"],
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    prepared.unlink()


def quantize_openvino(float32: Path, photos: np.ndarray, out: Path) -> None:
    """Post-training quantisation by NNCF, with weights of 7 bits for the reason in `quantize_onnx`."""
    import nncf
    import openvino

    quantized = nncf.quantize(
        openvino.Core().read_model(float32),
        nncf.Dataset(list(inputs(photos))),
        subset_size=len(photos),
        target_device=nncf.TargetDevice.CPU,
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
    )
    openvino.save_model(quantized, out, compress_to_fp16=False)


if __name__ == "__main__":
    sys.exit(main())
