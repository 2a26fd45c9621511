from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

LARGER = 416
"""Pixels of the second input size of the made-up cross-validation; its recipe has 320."""

TINY_RECIPE = """
model_name = "tiny"
num_steps = 20
batch_size = 2
warmup_steps = 2
learning_rate_base = 0.02
batch_norm_decay = 0.6
rendered_photos = 2
data_credit = "Rendered by the project."
"""

SMALL_RECIPE = """
model_name = "small"
pretrained = "none"
input_size = 128
num_steps = 12
batch_size = 4
warmup_steps = 2
learning_rate_base = 0.02
batch_norm_decay = 0.2
"""
"""Trains in seconds from random weights, to test the loop, not the detector."""


@pytest.fixture(scope="session")
def rendered_data(tmp_path_factory) -> Path:
    """Ten rendered mouths in the layout of the training data, two in each fold."""
    from training import render

    folder = tmp_path_factory.mktemp("data")
    render.write_via(folder, range(10))
    return folder


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(TINY_RECIPE)
    return path


@pytest.fixture(scope="session")
def tiny_run(rendered_data, tiny_recipe, tmp_path_factory) -> Path:
    """The folder of a real training of 20 steps, from photos to bundle, by the command `run`."""
    from training.cli import main

    out = tmp_path_factory.mktemp("run")
    assert main(["run", "--data", str(rendered_data), "--out", str(out), "--recipe", str(tiny_recipe)]) == 0
    return out


@pytest.fixture(scope="session")
def forms(tiny_run) -> dict[str, Path]:
    """The paths of one detector in each form in which it may be given."""
    return {
        "bundle": tiny_run / "bundle" / "tiny" / "1",
        "saved_model": tiny_run / "export" / "saved_model",
        "tflite": tiny_run / "export" / "model.tflite",
        "checkpoint": tiny_run,
    }


@pytest.fixture(scope="session")
def cross_validation(rendered_data, tiny_recipe, tmp_path_factory) -> Path:
    """The folder of a cross-validation with made-up predictions: nine in ten classes right, by an overconfident
    detector, and the same rounded by an int8 model. At `LARGER` pixels all classes are right."""
    from app.detector.detections import Detections
    from training.data.annotations import FOLDS
    from training.measure.out_of_fold import fold_folder
    from training.measure.predictions import save_predictions
    from training.recipe import Recipe
    from training.run import configure_step, prepare_step
    from training.run_folder import RunFolder

    folder = tmp_path_factory.mktemp("cross")
    random = np.random.default_rng(3)
    recipe = Recipe.read(tiny_recipe)
    prepare_step([rendered_data], RunFolder(folder))
    for fold in range(FOLDS):
        run, larger = fold_folder(folder, fold), fold_folder(folder, fold, (LARGER,))
        configure_step(run, recipe, validation_fold=fold)
        larger.path.mkdir()
        (run.path / "seconds.json").write_text("60\n")
        of_larger, found, rounded = {}, {}, {}
        for photo in run.photos():
            if photo.fold == fold:
                wrong = random.random(len(photo.class_ids)) < 0.1
                classes = np.where(wrong, 3 - photo.class_ids, photo.class_ids).astype(np.int32)
                scores = random.uniform(0.95, 0.99, len(classes)).astype(np.float32)
                found[photo.path.name] = Detections(photo.boxes, scores, classes)
                rounded[photo.path.name] = Detections(photo.boxes, scores - np.float32(0.01), classes)
                surely = np.where(wrong, 0.9, scores).astype(np.float32)
                of_larger[photo.path.name] = Detections(photo.boxes, surely, photo.class_ids)
        save_predictions(found, run.path / "predictions.npz")
        save_predictions(rounded, run.path / "predictions_int8.npz")
        save_predictions(of_larger, larger.path / "predictions.npz")
    return folder


@pytest.fixture(scope="session")
def small_recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "small.toml"
    path.write_text(SMALL_RECIPE)
    return path


@pytest.fixture(scope="session")
def small_data(tmp_path_factory) -> Path:
    """Ten small rendered mouths."""
    from training import render

    folder = tmp_path_factory.mktemp("data")
    render.write_via(folder, range(10), width=240, height=180)
    return folder


@pytest.fixture
def prepared(small_data, tmp_path) -> Path:
    """The folder of a run with only the records of `small_data`."""
    from training.cli import main

    out = tmp_path / "run"
    assert main(["prepare", "--data", str(small_data), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="session")
def untrained(small_recipe, tmp_path_factory) -> tuple[Path, Path]:
    """Configuration and checkpoint of the small detector with random weights."""
    from training.compat import tf
    from training.model.configure import configure, parse_pipeline
    from training.model.model_runtime import build_variables
    from training.recipe import Recipe
    from object_detection.builders import model_builder

    folder = tmp_path_factory.mktemp("untrained")
    config = folder / "pipeline.config"
    text = configure(
        Recipe.read(small_recipe),
        label_map=folder / "label_map.pbtxt",
        train_records=[folder / "train.tfrecord"],
        validation_records=[],
        fine_tune_checkpoint=None,
    )
    config.write_text(text)
    model = model_builder.build(parse_pipeline(text).model, is_training=False)
    build_variables(model, 128, 128)
    return config, Path(tf.train.Checkpoint(model=model).save(str(folder / "checkpoints" / "ckpt")))
