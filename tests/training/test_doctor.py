import json
from pathlib import Path

import pytest

from tests.conftest import needs_training
from training.doctor import INSTALL_CUDA, PROBE, diagnose, driver_gpus, instruction_sets

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


def test_instruction_sets_are_read_from_cpuinfo() -> None:
    assert instruction_sets(SAPPHIRE_RAPIDS) == ["avx", "avx2", "avx512f", "avx512_vnni", "amx_tile", "amx_bf16"]
    assert instruction_sets(NEOVERSE) == ["asimd", "bf16"]
    assert instruction_sets("") == []


def test_too_little_disk_is_reported(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 0}))
    missing = diagnose(Path(tmp_path), run=answers()).missing
    assert any(line.startswith("disk: 0.0 GiB free") for line in missing)
