"""The processor, and how many of its cores this process may use."""

import contextlib
import hashlib
import os
import platform
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
CPU_INFO = Path("/proc/cpuinfo")
MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Cores that the process may use, within a container's CPU limit; at least 1.

    A fractional limit is rounded down: the kernel would stop further threads for the rest of each 100 ms period, which
    the slowest answers would pay for.
    """
    return max(1, int(min([len(os.sched_getaffinity(0)), *_limits()])))


def processor_model() -> str:
    """The processor's name and a digest of its instruction sets, which virtual machines of the same name may lack."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            found.setdefault(name.strip(), value.strip())
    instructions = found.get("flags") or found.get("Features") or ""
    name = found.get("model name") or found.get("CPU part") or "unknown"
    return f"{platform.machine()} {name}, {hashlib.sha256(instructions.encode()).hexdigest()[:12]}"


def _limits() -> list[float]:
    """Cores that `cpu.max` grants the process's cgroup and those above it (cgroups(7), version 2)."""
    try:
        lines = MEMBERSHIP.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    (path,) = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")] or [""]
    limits = []
    for folder in (CGROUPS / path, *(CGROUPS / path).parents):
        if not folder.is_relative_to(CGROUPS):
            break
        try:
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            limits.append(int(quota) / int(period))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return limits
