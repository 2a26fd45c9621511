"""What this machine and environment offer a training, what is missing, and the command that installs it.

Nothing of the training environment is imported here, so that this works if nothing is installed. TensorFlow and the
Object Detection API start in another process: it may crash on an unsupported processor, and its messages are noise.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.limits import read_text, this_process
from training.machine import cpu_name
from training.quiet import DRIVER
from training.requirements import ROOT, training_requirements

INSTALL_CUDA = "pip install 'tensorflow[and-cuda]==2.21.0'"

MIN_PYTHON = (3, 11)

MIN_FREE_DISK = 2 * 2**30
MIN_MEMORY = 4 * 2**30
"""Bytes that a training by the shipped recipe needs: records and checkpoints; the process at batch size 16."""

INSTRUCTION_SETS = ("avx", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "asimd", "bf16")
"""Those that TensorFlow's kernels use; `asimd` and `bf16` are ARM's."""

PROBE_TIMEOUT_S = 180
"""For TensorFlow and the Object Detection API to start, even from a slow disk."""

PROBE = """
import json, os
os.environ["TF_USE_LEGACY_KERAS"] = "1"
found = {"gpus": [], "error": ""}
try:
    from training.compat import tf
    for gpu in tf.config.list_physical_devices("GPU"):
        found["gpus"].append(str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)))
    from object_detection.builders import model_builder
except Exception as error:
    found["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
print(json.dumps(found))
"""
"""Selects Keras 2, as a training does; the environment's own choice is checked separately."""

Run = Callable[[list[str], float], tuple[int, str]]
"""Runs a command for at most some seconds in the project's folder; returns its exit status and output."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Attributes: findings by name; what prevents a training; what would improve one."""

    facts: dict[str, str]
    missing: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {"ready": not self.missing, "facts": self.facts, "missing": self.missing, "advice": self.advice}

    def __str__(self) -> str:
        width = max(len(name) for name in self.facts)
        lines = [f"{name:{width}}  {value}" for name, value in self.facts.items()]
        lines += [f"missing: {line}" for line in self.missing] + [f"advice: {line}" for line in self.advice]
        return "\n".join([*lines, "a training can run" if not self.missing else "a training cannot run"])


def diagnose(folder: Path, *, run: Run | None = None, driver: Path = DRIVER) -> Diagnosis:
    """Examine the machine and the environment for a training that writes to this folder."""
    found = Diagnosis({"python": platform.python_version()})
    if sys.version_info < MIN_PYTHON:
        oldest = ".".join(map(str, MIN_PYTHON))
        found.missing.append(f"python: {platform.python_version()}, allowed is {oldest} or newer")
    _check_packages(found)
    complete = not found.missing
    _check_keras(found)
    _check_processor_and_memory(found)
    _check_disk(found, folder)
    _check_gpu(found, run or _run, driver, probed=complete)
    if complete:
        _check_backbone(found)
    return found


def instruction_sets(cpuinfo: str) -> list[str]:
    """The `INSTRUCTION_SETS` named in the text of `/proc/cpuinfo`."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return [name for name in INSTRUCTION_SETS if name in value.split()]
    return []


def driver_gpus(driver: Path) -> list[str]:
    """Models of the GPUs listed in the NVIDIA driver's folder; empty without a driver."""
    names = []
    for path in sorted(driver.glob("gpus/*/information")):
        match = re.search(r"^Model:\s*(.+?)\s*$", read_text(path), re.MULTILINE)
        names.append(match[1] if match else "a GPU of unknown model")
    return names


def _check_packages(found: Diagnosis) -> None:
    for requirement in training_requirements():
        found.facts[requirement.name] = requirement.installed or "not installed"
        if requirement.installed is None:
            found.missing.append(f"{requirement.name}: {requirement.line}")
        elif not requirement.met:
            found.missing.append(
                f"{requirement.name}: {requirement.installed} is installed, allowed is {requirement.versions}: "
                f"{requirement.line}"
            )


def _check_keras(found: Diagnosis) -> None:
    value = os.environ.get("TF_USE_LEGACY_KERAS")
    if value not in (None, "1", "true", "True"):
        found.missing.append(
            f"TF_USE_LEGACY_KERAS is {value!r}, the Object Detection API needs Keras 2: unset TF_USE_LEGACY_KERAS"
        )


def _check_processor_and_memory(found: Diagnosis) -> None:
    info = read_text(Path("/proc/cpuinfo"))
    cores, limits, memory = this_process()
    found.facts["processor"] = cpu_name(info)
    quota = f", of which a quota of {limits.cores:g}" if limits.cores is not None and limits.cores < cores else ""
    found.facts["cores"] = f"{cores} of {os.cpu_count()}{quota}"
    found.facts["instructions"] = ", ".join(instruction_sets(info)) or "none that matter"
    found.facts["memory"] = f"{_gib(memory.total)}, {_gib(memory.available)} available"
    if limits.memory is not None:
        found.facts["memory"] += " (limit of the control group)"
    if memory.total < MIN_MEMORY:
        found.missing.append(f"memory: {_gib(memory.total)}, a training needs {_gib(MIN_MEMORY)}: lower batch_size")
    elif memory.available < MIN_MEMORY:
        found.advice.append(f"only {_gib(memory.available)} of memory are free, a training needs {_gib(MIN_MEMORY)}")


def _check_disk(found: Diagnosis, folder: Path) -> None:
    existing = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    found.facts["free disk"] = f"{_gib(free)} at {folder}"
    if free < MIN_FREE_DISK:
        found.missing.append(f"disk: {_gib(free)} free at {folder}, a training needs {_gib(MIN_FREE_DISK)}")
    if not os.access(existing, os.W_OK):
        found.missing.append(f"disk: {existing} cannot be written to")


def _check_gpu(found: Diagnosis, run: Run, driver: Path, *, probed: bool) -> None:
    """GPUs by the driver and by TensorFlow, which is started only if no package is missing."""
    status, output = run(["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"], 20)
    driven = [line.strip() for line in output.splitlines() if line.strip()] if status == 0 else []
    driven = driven or driver_gpus(driver)
    found.facts["gpu"] = "; ".join(driven) or "none"
    if not probed:
        found.facts["gpu for TensorFlow"] = "not asked: packages are missing"
        if driven:
            found.advice.append(f"there is a GPU; TensorFlow uses it after {INSTALL_CUDA}")
        return
    status, output = run([sys.executable, "-c", PROBE], PROBE_TIMEOUT_S)
    try:
        answer = json.loads(output.splitlines()[-1])
    except (IndexError, ValueError):
        answer = {"gpus": [], "error": f"it ended with status {status}"}
    seen = answer["gpus"]
    found.facts["gpu for TensorFlow"] = "; ".join(seen) or "none: training runs on the processor"
    if answer["error"]:
        found.missing.append(
            f"the Object Detection API does not start ({answer['error']}): make clean, then make train"
        )
    elif driven and not seen:
        found.advice.append(f"the driver shows a GPU that TensorFlow does not use: {INSTALL_CUDA}")


def _check_backbone(found: Diagnosis) -> None:
    from training.model.pretrained.backbone import find_graph
    from training.model.pretrained.catalogue import PretrainedWeightsError

    try:
        found.facts["pretrained backbone"] = find_graph().name
    except PretrainedWeightsError as error:
        found.facts["pretrained backbone"] = "unusable"
        found.missing.append(f"pretrained backbone: {error}")


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"


def _run(command: list[str], timeout: float) -> tuple[int, str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT)
    except (OSError, subprocess.TimeoutExpired):
        return 1, ""
    return done.returncode, done.stdout
