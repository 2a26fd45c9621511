"""How TensorFlow is set up is decided where a process imports it first, whichever step that is."""

import subprocess
import sys

SETUP = """
import os, sys
from training.cli import main
os.environ.pop("TF_ENABLE_ONEDNN_OPTS", None)
assert "tensorflow" not in sys.modules
assert main(["prepare", "--data", sys.argv[1], "--out", sys.argv[2]]) == 0
import tensorflow as tf
from tensorflow.python.framework.test_util import IsMklEnabled
print(IsMklEnabled(), tf.config.optimizer.get_experimental_options().get("remapping"))
print(os.environ.get("TF_ENABLE_ONEDNN_OPTS"))
"""


def test_a_process_that_prepares_and_then_trains_has_onednn(small_data, tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SETUP, small_data, tmp_path / "run"], stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout.splitlines()[-2:] == ["True False", "None"]
