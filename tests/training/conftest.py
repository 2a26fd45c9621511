from __future__ import annotations

from pathlib import Path

import pytest

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
"""Trains in seconds, from random weights: what is tested is the loop, not the detector."""


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
    """The folder of a real training of 20 steps, from photos to bundle, by the command that people use."""
    from training.cli import main

    out = tmp_path_factory.mktemp("run")
    assert main(["run", "--data", str(rendered_data), "--out", str(out), "--recipe", str(tiny_recipe)]) == 0
    return out


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
    """The folder of a run that holds records of `small_data` and nothing else."""
    from training.cli import main

    out = tmp_path / "run"
    assert main(["prepare", "--data", str(small_data), "--out", str(out)]) == 0
    return out
