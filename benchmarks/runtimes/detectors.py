"""The detector by each runtime: uint8 `[320, 320, 3]` to `Detections`. Imports a runtime only to load it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.detector.detections import Detections
from app.detector.runtimes.litert import LiteRTRuntime, model_input
from benchmarks.runtimes.postprocess import POSTPROCESSING, Postprocessing

Pixels = npt.NDArray[np.uint8]
Detect = Callable[[Pixels], Detections]
Heads = Callable[[npt.NDArray[np.float32]], Any]
"""A model input, `[1, height, width, 3]`, to encodings `[1, anchors, 4]` and scores `[1, anchors, 1 + classes]`."""


def litert(file: Path, threads: int) -> Detect:
    """As the server runs it: the interpreter with its default XNNPACK delegate."""
    return LiteRTRuntime(file, threads=threads).detect


def litert_latest(file: Path, threads: int) -> Detect:
    """The interpreter with all of XNNPACK's features that are behind a flag."""
    import ai_edge_litert.interpreter as module

    plain = module.Interpreter

    def flagged(**options: Any) -> Any:
        return plain(**options, experimental_default_delegate_latest_features=True)

    module.Interpreter = flagged
    try:
        return LiteRTRuntime(file, threads=threads).detect
    finally:
        module.Interpreter = plain


def litert_compiled(file: Path, threads: int, *, ynnpack: bool = False) -> Detect:
    """LiteRT's newer interface, `CompiledModel`; with `ynnpack`, that library's kernels before XNNPACK's.

    For a file without postprocessing: the operation's outputs have no size in the file, `CompiledModel` makes no room
    for them, and running it corrupts the process's memory.
    """
    from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, HardwareAccelerator, Options

    model = CompiledModel.from_file(
        str(file),
        options=Options(
            hardware_accelerators=HardwareAccelerator.CPU,
            cpu_options=CpuOptions(num_threads=threads, enable_ynnpack=ynnpack),
        ),
    )
    (model_input_buffer,), outputs = model.create_input_buffers(0), model.create_output_buffers(0)
    anchors = len(Postprocessing.load(file.parent / POSTPROCESSING).anchors)

    def heads(values: npt.NDArray[np.float32]) -> Any:
        model_input_buffer.write(values)
        model.run_by_index(0, [model_input_buffer], outputs)
        sizes = (4, 3)
        return [
            buffer.read(anchors * size, np.float32).reshape(1, anchors, size)
            for buffer, size in zip(outputs, sizes, strict=True)
        ]

    return _with_postprocessing(file, heads)


def litert_ynnpack(file: Path, threads: int) -> Detect:
    """See `litert_compiled`."""
    return litert_compiled(file, threads, ynnpack=True)


def onnxruntime(file: Path, threads: int) -> Detect:
    """ONNX Runtime's CPU provider."""
    import onnxruntime as library

    options = library.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = library.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = library.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    postprocessing = Postprocessing.load(file.parent / POSTPROCESSING)
    input_array = np.empty((1, 320, 320, 3), np.float32)

    def detect(pixels: Pixels) -> Detections:
        values = model_input(pixels, 320, 320, out=input_array)
        boxes, scores, selected = session.run(None, {taken.name: values})
        return postprocessing.best(boxes[0], scores[0], selected)

    return detect


def openvino(file: Path, threads: int) -> Detect:
    """OpenVINO's CPU plugin, one stream for latency."""
    import openvino as library

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": 1,
    }
    postprocessing = Postprocessing.load(file.parent / POSTPROCESSING)
    core = library.Core()
    model = with_openvino_postprocess(core.read_model(file), postprocessing)
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    input_array = np.empty((1, 320, 320, 3), np.float32)

    def detect(pixels: Pixels) -> Detections:
        request.infer({0: model_input(pixels, 320, 320, out=input_array)}, share_inputs=True)
        boxes, scores, selected = (request.get_output_tensor(number).data for number in range(3))
        return postprocessing.best(boxes[0], scores[0], selected)

    return detect


def with_openvino_postprocess(heads: Any, postprocessing: Postprocessing) -> Any:
    """The `openvino.Model` of the heads with boxes decoded and non-maximum suppression by OpenVINO's own operations.

    Outputs are those of `benchmarks.runtimes.convert.add_postprocess`.
    """
    import openvino as library
    from openvino import opset13 as ops

    encodings, scores = (output.get_node().input_value(0) for output in heads.outputs)
    centers, sizes = postprocessing.anchors[:, :2], postprocessing.anchors[:, 2:]
    shifts, growths = ops.split(ops.divide(encodings, postprocessing.scales), 2, 2).outputs()
    box_centers = ops.add(ops.multiply(shifts, sizes), centers)
    box_halves = ops.multiply(ops.exp(growths), sizes / 2)
    corners = [ops.subtract(box_centers, box_halves), ops.add(box_centers, box_halves)]
    boxes = ops.concat(corners, 2)
    _, of_classes = ops.variadic_split(scores, 2, [1, -1]).outputs()
    by_class = ops.transpose(of_classes, [0, 2, 1])
    selected = ops.non_max_suppression(
        boxes,
        by_class,
        max_output_boxes_per_class=np.int64(postprocessing.max_detections),
        iou_threshold=np.float32(postprocessing.iou_threshold),
        score_threshold=np.float32(postprocessing.score_threshold),
        sort_result_descending=False,
    )
    return library.Model([boxes.output(0), by_class.output(0), selected.output(0)], heads.get_parameters(), "detector")


def _with_postprocessing(file: Path, heads: Heads) -> Detect:
    postprocessing = Postprocessing.load(file.parent / POSTPROCESSING)
    input_array = np.empty((1, 320, 320, 3), np.float32)

    def detect(pixels: Pixels) -> Detections:
        encodings, scores = heads(model_input(pixels, 320, 320, out=input_array))
        return postprocessing(encodings[0], scores[0])

    return detect


LOADERS: dict[str, Callable[[Path, int], Detect]] = {
    loader.__name__: loader
    for loader in (litert, litert_latest, litert_compiled, litert_ynnpack, onnxruntime, openvino)
}
