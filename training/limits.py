"""Cores and memory that this process may use: the machine's, within the limits of control groups.

In a container `/proc` shows the host's cores and memory, but the process is throttled or killed at the limits of its
control group or of a parent group. Versions 1 and 2 are read.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")

UNLIMITED = 2**60
"""Bytes. Version 1 states no limit as a number near 2 to the 63rd."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits by control groups, None without one: cores, as a mean over time; bytes; bytes until that limit, counting
    file cache that can be dropped as free."""

    cores: float | None
    memory: int | None
    memory_left: int | None


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes for a process: at most, and now."""

    total: int
    available: int


def control_group_limits(self_cgroup: str, root: Path = CGROUPS) -> Limits:
    """The tightest limits, given the text of `/proc/self/cgroup` and the mount point of control groups."""
    cores: list[float | None] = []
    memory: list[tuple[int, int]] = []
    for line in self_cgroup.splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        names = controllers.split(",")
        for mount in [root, root / "unified"] if controllers == "" else [root / name for name in (controllers, *names)]:
            for group in _group_and_parents(mount, path):
                if controllers == "":
                    cores.append(cpu_quota(read_text(group / "cpu.max")))
                    memory += _memory(group, "memory.max", "memory.current", "inactive_file")
                elif "cpu" in names:
                    quota, period = (read_text(group / f"cpu.cfs_{part}_us").strip() for part in ("quota", "period"))
                    cores.append(cpu_quota(f"{quota} {period}"))
                elif "memory" in names:
                    memory += _memory(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    return Limits(
        min((quota for quota in cores if quota is not None), default=None),
        min((limit for limit, _ in memory), default=None),
        min((left for _, left in memory), default=None),
    )


def cpu_quota(text: str) -> float | None:
    """Cores in a quota and a period in microseconds, such as `150000 100000`; None for `max`, -1 or no text."""
    quota, _, period = text.strip().partition(" ")
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:
        return None
    return int(quota) / int(period)


def memory_limit(text: str) -> int | None:
    """Bytes in the text of `memory.max` or `memory.limit_in_bytes`; None for no limit."""
    return int(text) if text.strip().isdecimal() and int(text) < UNLIMITED else None


def memory_within(meminfo: str, limits: Limits) -> Memory:
    """The memory in the text of `/proc/meminfo`, within limits; 0 for a missing line."""
    values = {}
    for line in meminfo.splitlines():
        key, _, value = line.partition(":")
        if value.split() and value.split()[0].isdecimal():
            values[key] = int(value.split()[0]) * 1024
    total, available = values.get("MemTotal", 0), values.get("MemAvailable", 0)
    return Memory(
        total if limits.memory is None else min(total, limits.memory),
        available if limits.memory_left is None else min(available, limits.memory_left),
    )


def this_process() -> tuple[int, Limits, Memory]:
    """Cores that the scheduler may use, the limits of the control groups, and the memory within them."""
    limits = control_group_limits(read_text(Path("/proc/self/cgroup")))
    return len(os.sched_getaffinity(0)), limits, memory_within(read_text(Path("/proc/meminfo")), limits)


def read_text(path: Path) -> str:
    """The text of a file of the kernel; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _group_and_parents(mount: Path, path: str) -> Iterator[Path]:
    """The group's folder and its parents up to the mount; in a container the path may be the host's and missing."""
    group = mount / path.strip().lstrip("/")
    while group != mount and mount in group.parents:
        yield group
        group = group.parent
    yield mount


def _memory(group: Path, limit_file: str, usage_file: str, cache_key: str) -> list[tuple[int, int]]:
    """The group's limit and the bytes left, or nothing."""
    limit = memory_limit(read_text(group / limit_file))
    if limit is None:
        return []
    used = memory_limit(read_text(group / usage_file)) or 0
    droppable = 0
    for line in read_text(group / "memory.stat").splitlines():
        key, _, value = line.partition(" ")
        if key == cache_key and value.isdecimal():
            droppable = int(value)
    return [(limit, max(0, limit - max(0, used - droppable)))]
