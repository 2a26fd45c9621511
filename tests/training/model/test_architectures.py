"""Every architecture: built and trained a step, and in the full matrix from rendered photos to a served bundle.

`ssd_mobilenet_v2_fpnlite`, the shipped one, takes the same path in `tests/training/test_run.py`.
"""

from pathlib import Path

import numpy as np
import pytest

from app.detector.bundle import FLOAT32_MODEL, read_bundle
from app.detector.runtimes.load import load_runtime
from app.errors import RuntimeUnavailable
from app.photo.decoding import decode
from training.cli import main
from training.data.annotations import read_annotated_photos
from training.model import batch_norm
from training.release.tflite import ConversionError, convert

pytestmark = pytest.mark.slow


@pytest.fixture
def write_recipe(tmp_path, monkeypatch):
    # An architecture with its own decay re-estimates the statistics of batch norm after the last step.
    monkeypatch.setattr(batch_norm, "REESTIMATION_BATCHES", 5)

    def write(architecture: str, *, input_size: int, num_steps: int) -> Path:
        recipe: Path = tmp_path / "recipe.toml"
        recipe.write_text(f"""
model_name = "few-steps"
architecture = "{architecture}"
pretrained = "none"
input_size = {input_size}
num_steps = {num_steps}
batch_size = 2
warmup_steps = 1
learning_rate_base = 0.001
warmup_learning_rate = 0.0005
{"batch_norm_decay = 0.001" if architecture.startswith("ssd") else ""}
""")
        return recipe

    return write


@pytest.mark.parametrize(
    "architecture", ["ssd_resnet50_v1_fpn", "centernet_mobilenet_v2_fpn", "faster_rcnn_resnet50_v1"]
)
def test_it_is_trained_a_step(prepared, small_data, write_recipe, architecture) -> None:
    recipe = write_recipe(architecture, input_size=160, num_steps=1)
    assert main(["train", "--out", str(prepared), "--recipe", str(recipe), "--set=warmup_steps=0"]) == 0
    assert (prepared / "checkpoints" / "ckpt-1.index").exists()
    run = (prepared / "pipeline.config", prepared / "checkpoints" / "ckpt-1", prepared / "export")
    photos = read_annotated_photos(small_data)
    if architecture.startswith("faster_rcnn"):
        with pytest.raises(ConversionError, match="cannot be converted to TFLite"):
            convert(*run, representative=photos)
    elif architecture.startswith("centernet"):  # not SSD: another graph is converted
        convert(*run, representative=photos, precisions=("float32",))
        assert (prepared / "export" / FLOAT32_MODEL).exists()


@pytest.mark.systems
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
    small_data, tmp_path, write_recipe, capsys, architecture, input_size, has_tflite
) -> None:
    recipe, out = write_recipe(architecture, input_size=input_size, num_steps=2), tmp_path / "run"
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
