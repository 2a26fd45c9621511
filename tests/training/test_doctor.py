import json
import subprocess
import sys
from pathlib import Path

import pytest

from training.cli import main
from training.doctor import INSTALL_CUDA, available_memory, cpu_quota, diagnose, instruction_sets, memory_limit
from training.machine import cpu_name

CPUINFO = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) N100
flags\t\t: fpu sse2 avx avx2 avx_vnni
"""


def test_a_whole_environment_is_found_whole(tmp_path, capsys) -> None:
    assert main(["doctor", "--out", str(tmp_path / "not" / "yet"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["missing"] == []
    assert found["facts"]["tensorflow"] == "2.21.0"
    assert "GiB" in found["facts"]["free disk"]
    assert not (tmp_path / "not").exists()


HIDE = """
import importlib.metadata, sys
hidden = {names!r}
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hide())
real = importlib.metadata.version
def version(name):
    if name in hidden or name.replace("-", "_") in hidden:
        raise importlib.metadata.PackageNotFoundError(name)
    return real(name)
importlib.metadata.version = version
import importlib.util
spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in hidden else spec(name, *rest)
from training.cli import main
sys.exit(main({arguments!r}))
"""


def run_without(names: list[str], arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", HIDE.format(names=names, arguments=arguments)], capture_output=True, text=True
    )


def test_what_is_missing_is_named_with_the_line_that_installs_it() -> None:
    hidden = ["tensorflow", "optuna", "object_detection", "numpy", "PIL", "tf-object-detection-api", "imagehash"]
    done = run_without(hidden, ["doctor"])
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert "missing: optuna: pip install --require-hashes -r requirements/all.txt" in lines
    (api,) = [line for line in lines if line.startswith("missing: tf-object-detection-api")]
    assert api.endswith("--no-deps --no-build-isolation -r requirements/no-deps.txt")
    assert lines[-1] == "a training cannot run"
    assert "Traceback" not in done.stderr


def test_another_command_says_what_it_lacks() -> None:
    done = run_without(["numpy", "PIL"], ["prepare", "--data", "x", "--out", "y"])
    assert done.returncode == 1
    assert "python -m training doctor says what to install" in done.stderr
    assert "Traceback" not in done.stderr


def test_keras_three_is_noticed(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "0")
    assert any("needs Keras 2" in line for line in diagnose(tmp_path).missing)


def test_a_gpu_that_tensorflow_does_not_use_is_told(tmp_path) -> None:
    found = diagnose(tmp_path, run=lambda command: "NVIDIA H100 80GB HBM3, 81559 MiB\n")
    assert found.facts["gpu"] == "NVIDIA H100 80GB HBM3, 81559 MiB"
    if found.facts["gpu for TensorFlow"].startswith("none"):
        assert any(INSTALL_CUDA in line for line in found.advice)


def test_linux_files_are_read() -> None:
    assert cpu_name(CPUINFO) == "Intel(R) N100"
    assert instruction_sets(CPUINFO) == ["avx2"]
    assert instruction_sets("") == []
    assert (memory_limit("2147483648\n"), memory_limit("max\n"), memory_limit("")) == (2**31, None, None)
    assert (cpu_quota("150000 100000\n"), cpu_quota("max 100000\n"), cpu_quota("")) == (1.5, None, None)
    assert available_memory("MemTotal: 9 kB\nMemAvailable:  2048 kB\n") == 2 * 2**20
    assert available_memory("") == 0


@pytest.mark.parametrize("free", [0])
def test_too_little_disk_is_told(tmp_path, monkeypatch, free) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": free}))
    assert any(line.startswith("disk: 0.0 GiB free") for line in diagnose(Path(tmp_path)).missing)
