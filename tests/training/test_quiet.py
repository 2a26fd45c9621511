"""TensorFlow's start-up messages stay out of the output of commands; crashes and a user's log level do not."""

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import needs_training

pytestmark = [pytest.mark.slow, needs_training]

NOISE = re.compile(r"absl|port\.cc|cudart|cuInit|cuda_platform|WARNING|^[IWE]\d{4} ", re.MULTILINE)


def stderr_of(*arguments: object, level: str | None = None) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    if level is not None:
        environment["TF_CPP_MIN_LOG_LEVEL"] = level
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, env=environment).stderr


def test_a_command_shows_its_own_lines_alone(small_data, tmp_path) -> None:
    shown = stderr_of("-m", "training", "prepare", "--data", small_data, "--out", tmp_path / "run")
    assert "10 photos" in shown
    assert not NOISE.search(shown)


def test_no_message_of_the_search_for_devices_and_no_deprecation_is_shown() -> None:
    code = """
from training.quiet import quieten_tensorflow
quieten_tensorflow()
import training.compat
import tensorflow as tf
tf.config.list_physical_devices()
tf.get_logger().warning("a WARNING")
"""
    assert not NOISE.search(stderr_of("-c", code))


def test_a_log_level_in_the_environment_shows_everything() -> None:
    code = "from training.quiet import quieten_tensorflow; quieten_tensorflow(); import tensorflow"
    assert NOISE.search(stderr_of("-c", code, level="0"))


def test_the_message_of_a_crash_during_the_import_is_shown(tmp_path) -> None:
    (tmp_path / "tensorflow.py").write_text(
        "import os\n"
        "os.write(2, b'WARNING: All log messages before absl::InitializeLog() is called\\n')\n"
        "os.write(2, b'F0000 00:00:1.2 3 cpu.cc:1] no AVX\\n')\n"
        "os.abort()\n"
    )
    code = f"""
import sys

import pytest
sys.path.insert(0, {str(tmp_path)!r})
from training.quiet import quieten_tensorflow
quieten_tensorflow()
import tensorflow
"""
    assert stderr_of("-c", code).splitlines()[0] == "F0000 00:00:1.2 3 cpu.cc:1] no AVX"
