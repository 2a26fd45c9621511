"""The machine that a measurement ran on, read from Linux' own files; no TensorFlow."""

import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Machine:
    """Attributes: processor name; cores that this process may use; memory in bytes; versions."""

    cpu: str
    cores: int
    memory: int
    python: str
    tensorflow: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        memory = f"{self.memory / 2**30:.0f} GiB"
        return f"{self.cpu}, {self.cores} cores, {memory}, Python {self.python}, TensorFlow {self.tensorflow}"


def this_machine() -> Machine:
    cpuinfo = Path("/proc/cpuinfo")
    return Machine(
        cpu=cpu_name(cpuinfo.read_text(encoding="utf-8")) if cpuinfo.exists() else "unknown",
        cores=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        python=platform.python_version(),
        tensorflow=installed_version("tensorflow") or "not installed",
    )


def cpu_name(cpuinfo: str) -> str:
    """The processor's name in the text of `/proc/cpuinfo`."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Hardware", "Model"):
            return value.strip()
    return platform.machine()


def installed_version(package: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
