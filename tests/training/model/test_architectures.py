"""Every architecture from rendered photos to a bundle that is served, in a few steps."""

import numpy as np
import pytest

from app.detector.bundle import read_bundle
from app.detector.runtimes.load import load_runtime
from app.errors import RuntimeUnavailable
from app.photo.decoding import decode
from training.cli import main
from training.model import batch_norm

pytestmark = pytest.mark.slow

RECIPE = """
model_name = "few-steps"
architecture = "{architecture}"
pretrained = "none"
input_size = {input_size}
num_steps = 2
batch_size = 2
warmup_steps = 1
learning_rate_base = 0.001
warmup_learning_rate = 0.0005
{batch_norm_decay}
"""


@pytest.mark.parametrize(
    ("architecture", "input_size", "has_tflite"),
    [
        ("ssd_mobilenet_v2_fpnlite", 640, True),
        ("ssd_resnet50_v1_fpn", 160, True),
        ("centernet_mobilenet_v2_fpn", 160, True),
        ("faster_rcnn_resnet50_v1", 160, False),
    ],
)
def test_it_is_trained_evaluated_exported_and_served(
    small_data, tmp_path, capsys, monkeypatch, architecture, input_size, has_tflite
) -> None:
    # Where the decay of an architecture is its own, the statistics are taken anew after two steps.
    monkeypatch.setattr(batch_norm, "REESTIMATION_BATCHES", 5)
    decay = "batch_norm_decay = 0.001" if architecture.startswith("ssd") else ""
    recipe, out = tmp_path / "recipe.toml", tmp_path / "run"
    recipe.write_text(RECIPE.format(architecture=architecture, input_size=input_size, batch_norm_decay=decay))
    assert main(["run", "--data", str(small_data), "--out", str(out), "--recipe", str(recipe)]) == 0
    assert "mAP@.5" in capsys.readouterr().out
    bundle = read_bundle(out / "bundle" / "few-steps" / "1")
    pixels = decode(next((small_data / "img_train").iterdir()).read_bytes()).pixels
    expected = load_runtime(bundle, "tensorflow").detect(pixels)
    assert len(expected) > 0
    served = load_runtime(bundle, "auto")
    if has_tflite:
        assert served.name == "litert"
        np.testing.assert_allclose(served.detect(pixels).scores[:10], expected.scores[:10], atol=1e-3)
    else:
        assert served.name == "tensorflow"
        with pytest.raises(RuntimeUnavailable, match="choose the tensorflow runtime"):
            load_runtime(bundle, "litert")
        assert main(["tflite", "--out", str(out)]) == 1
        assert "cannot be converted to TFLite" in capsys.readouterr().err
