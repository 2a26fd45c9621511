"""Cores and memory that this process may use: what the machine has, less what control groups hold back.

A container sees all of its host's cores and memory in `/proc`, and is throttled or killed at the limits of its control
group. Both versions of control groups are read; a limit of a parent group counts as much as the group's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")

UNLIMITED = 2**60
"""Bytes. Version 1 has no word for no limit but a number near 2 to the 63rd."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What control groups allow.

    Attributes:
        cores: mean over time; None without a limit.
        memory: bytes; None without a limit.
        memory_left: bytes until the limit is reached, file cache that can be dropped counted as free; None likewise.
    """

    cores: float | None
    memory: int | None
    memory_left: int | None


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a process can have at most, and now."""

    total: int
    available: int


def control_group_limits(self_cgroup: str, root: Path = CGROUPS) -> Limits:
    """The tightest limits on a process.

    Args:
        self_cgroup: the text of `/proc/self/cgroup`.
        root: where control groups are mounted.
    """
    cores: list[float] = []
    memory: list[tuple[int, int]] = []
    for line in self_cgroup.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        names = controllers.split(",")
        for mount in (root, root / "unified") if controllers == "" else [root / name for name in (controllers, *names)]:
            for group in _group_and_parents(mount, path):
                if controllers == "":
                    cores += _some(cpu_quota(_read(group / "cpu.max")))
                    memory += _memory(group, "memory.max", "memory.current", "inactive_file")
                elif "cpu" in names:
                    quota = f"{_read(group / 'cpu.cfs_quota_us').strip()} {_read(group / 'cpu.cfs_period_us').strip()}"
                    cores += _some(cpu_quota(quota))
                elif "memory" in names:
                    memory += _memory(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    return Limits(
        min(cores, default=None),
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


def memory_of(meminfo: str, limits: Limits) -> Memory:
    """The memory in the text of `/proc/meminfo`, within limits; 0 where the text lacks a line."""
    values = {}
    for line in meminfo.splitlines():
        key, _, value = line.partition(":")
        if value.split() and value.split()[0].isdecimal():
            values[key] = int(value.split()[0]) * 1024
    total, available = values.get("MemTotal", 0), values.get("MemAvailable", 0)
    return Memory(
        min(total, total if limits.memory is None else limits.memory),
        min(available, available if limits.memory_left is None else limits.memory_left),
    )


def this_process() -> tuple[int, Limits, Memory]:
    """Cores that the scheduler may use, the limits of the control groups, and the memory within them."""
    limits = control_group_limits(_read(Path("/proc/self/cgroup")))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores, limits, memory_of(_read(Path("/proc/meminfo")), limits)


def _group_and_parents(mount: Path, path: str) -> Iterator[Path]:
    """The group's folder and those above it up to the mount; in a container the path may be the host's, not there."""
    group = mount / path.strip().lstrip("/")
    while group != mount and mount in group.parents:
        yield group
        group = group.parent
    yield mount


def _memory(group: Path, limit_file: str, usage_file: str, cache_key: str) -> list[tuple[int, int]]:
    """The limit of one group and the bytes left of it, or nothing."""
    limit = memory_limit(_read(group / limit_file))
    if limit is None:
        return []
    used = memory_limit(_read(group / usage_file)) or 0
    droppable = 0
    for line in _read(group / "memory.stat").splitlines():
        key, _, value = line.partition(" ")
        if key == cache_key and value.isdecimal():
            droppable = int(value)
    return [(limit, max(0, limit - max(0, used - droppable)))]


def _some(value: float | None) -> list[float]:
    return [] if value is None else [value]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
