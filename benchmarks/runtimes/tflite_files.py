"""Changes to a TFLite detector that leave its weights alone: another threshold inside, or no postprocessing at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.tools import flatbuffer_utils
from flatbuffers import flexbuffers

from benchmarks.runtimes.postprocess import Postprocessing

POSTPROCESS = b"TFLite_Detection_PostProcess"


def set_score_threshold(source: Path, target: Path, score_threshold: float) -> None:
    """Writes the detector with another score from which on boxes take part in non-maximum suppression."""
    model = flatbuffer_utils.read_model(str(source))
    _, operation = _postprocess(model)
    options = _options(operation) | {"nms_score_threshold": score_threshold}
    operation.customOptions = list(flexbuffers.Dumps(options))
    flatbuffer_utils.write_model(model, str(target))


def cut_postprocess(source: Path, target: Path) -> Postprocessing:
    """Writes the detector without its postprocessing, and returns that.

    Outputs of what is written: encodings `[1, anchors, 4]` and scores `[1, anchors, 1 + classes]`, float32.
    """
    model = flatbuffer_utils.read_model(str(source))
    graph, operation = _postprocess(model)
    encodings, scores, anchors = operation.inputs
    tensor = graph.tensors[anchors]
    values = np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.float32).reshape(tensor.shape)
    graph.operators = [other for other in graph.operators if other is not operation]
    graph.outputs = [encodings, scores]
    # The signature names the outputs that are gone.
    model.signatureDefs = []
    flatbuffer_utils.write_model(model, str(target))
    return Postprocessing.of_options(values, _options(operation))


def _postprocess(model: Any) -> tuple[Any, Any]:
    """The subgraph that holds the operation, and the operation."""
    for graph in model.subgraphs:
        for operation in graph.operators:
            if model.operatorCodes[operation.opcodeIndex].customCode == POSTPROCESS:
                return graph, operation
    raise ValueError(f"the model has no {POSTPROCESS.decode()}")


def _options(operation: Any) -> dict[str, Any]:
    options: dict[str, Any] = flexbuffers.Loads(bytes(operation.customOptions))
    return options
