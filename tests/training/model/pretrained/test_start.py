import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.detector.runtimes.litert import LiteRTRuntime
from app.photo.decoding import decode
from training.cli import main
from training.model.checkpoints import CheckpointError, load_checkpoint, unused_pipeline
from training.model.configure import parse_pipeline
from training.model.pretrained.start import find_start
from training.output import file_sha256
from training.recipe import Recipe

ONE_STEP = ("num_steps=1", "warmup_steps=1", "warmup_learning_rate=0.0", "learning_rate_base=0.000001")
"""With a rate of nearly nothing, so that the weights are still those that the training started from."""


@pytest.fixture(scope="module")
def run(small_recipe, tmp_path_factory) -> Path:
    """A run of random weights, which differ from those of a new training."""
    from training.compat import tf
    from object_detection.builders import model_builder

    folder = tmp_path_factory.mktemp("runs") / "first"
    (folder / "checkpoints").mkdir(parents=True)
    text = unused_pipeline(Recipe.read(small_recipe))
    (folder / "pipeline.config").write_text(text)
    tf.keras.utils.set_random_seed(99)
    model = model_builder.build(parse_pipeline(text).model, is_training=True)
    model.predict(*model.preprocess(tf.zeros([1, 128, 128, 3])))
    saved = tf.train.CheckpointManager(tf.train.Checkpoint(model=model), str(folder / "checkpoints"), 1)
    saved.save(checkpoint_number=7)
    return folder


def train(folder: Path, recipe: Path, *options: str) -> int:
    settings = [f"--set={one}" for one in ONE_STEP]
    return main(["train", "--out", str(folder), "--recipe", str(recipe), *settings, *options])


def kernels(checkpoints: Path) -> dict[str, np.ndarray]:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(checkpoints))
    names = reader.get_variable_to_shape_map()
    return {name: reader.get_tensor(name) for name in names if name.startswith("model/") and "kernel/.ATTR" in name}


def test_every_layer_starts_from_the_weights_of_a_run(run, prepared, small_recipe, capsys) -> None:
    assert train(prepared, small_recipe, "--start-from", str(run)) == 0
    expected, trained = kernels(run / "checkpoints"), kernels(prepared / "checkpoints")
    assert expected
    assert any("box_predictor" in name for name in expected)
    for name, value in expected.items():
        np.testing.assert_allclose(trained[name], value, atol=1e-5, err_msg=name)
    state = json.loads((prepared / "run.json").read_text())
    digest = file_sha256(run / "checkpoints" / "ckpt-7.data-00000-of-00001")
    # The first run has no run.json, so that its own start is unknown.
    assert state["started_from"] == {"name": "first ckpt-7", "sha256": digest, "pretrained_weights": ""}
    # It is resumed from the same weights only.
    assert train(prepared, small_recipe, "--start-from", str(run / "checkpoints" / "ckpt-7")) == 0
    assert train(prepared, small_recipe) == 1
    assert "a training that started from other weights" in capsys.readouterr().err
    (prepared / "run.json").write_text(json.dumps({**state, "started_from": None}))
    assert find_start(prepared).pretrained_weights == "none"
    (prepared / "run.json").write_text(json.dumps({**state, "started_from": {"pretrained_weights": "A backbone"}}))
    assert find_start(prepared).pretrained_weights == "A backbone"


def test_the_predictors_start_from_random_weights_where_the_anchors_differ(run, small_recipe, tmp_path) -> None:
    recipe, start = Recipe.read(small_recipe), find_start(run)
    assert start.fine_tune(recipe, tmp_path).type == "full"
    assert start.fine_tune(replace(recipe, input_size=256, aspect_ratios=(1.0, 3.0, 0.4)), tmp_path).type == "full"
    assert start.fine_tune(replace(recipe, aspect_ratios=(1.0,)), tmp_path).type == "detection"
    with pytest.raises(CheckpointError, match="first ckpt-7 is a detector of another architecture than ssd_resnet50"):
        start.fine_tune(replace(recipe, architecture="ssd_resnet50_v1_fpn"), tmp_path)


def test_places_without_weights_are_refused(run, tmp_path) -> None:
    with pytest.raises(CheckpointError, match="there is no checkpoint in"):
        find_start(tmp_path)
    shutil.copytree(run / "checkpoints", tmp_path / "a" / "b" / "c")
    with pytest.raises(CheckpointError, match=r"there is no pipeline\.config next to"):
        find_start(tmp_path / "a" / "b" / "c" / "ckpt-7")


def test_the_weights_of_a_bundle_become_a_checkpoint(shipped_bundle, rendered_data, tmp_path) -> None:
    recipe = Recipe.from_dict(shipped_bundle.manifest["recipe"])
    start = find_start(shipped_bundle.path)
    assert start.name == f"{shipped_bundle.name} {shipped_bundle.version}"
    found = start.fine_tune(recipe, tmp_path / "start")
    assert found.type == "full"
    (tmp_path / "pipeline.config").write_text(unused_pipeline(recipe))
    pixels = decode(min((rendered_data / "img_train").iterdir()).read_bytes()).pixels
    ours = load_checkpoint(tmp_path / "pipeline.config", found.prefix).detect(pixels)
    theirs = LiteRTRuntime(shipped_bundle.tflite("float32")).detect(pixels)
    np.testing.assert_allclose(ours.scores[:10], theirs.scores[:10], atol=1e-3)
