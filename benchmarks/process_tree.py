"""A server's processes, their memory and their CPU time, from /proc. Processes that have ended count as zero."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def children(pid: int | str) -> list[int]:
    """The children of a process, given by number or as `self`, whichever thread started them."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        # The children of a thread that has just ended pass to another thread.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, path.read_text(encoding="ascii").split())
    return sorted(found)


def processes(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *children(pid)]


def memory_kib(pids: Iterable[int], field: str = "VmRSS") -> int:
    """Total memory of processes, KiB: resident now, or with `VmHWM` the sum of the peaks."""
    kib = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found = re.search(rf"{field}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
            kib += int(found[1]) if found else 0
    return kib


def cpu_s(pids: Iterable[int]) -> float:
    """Total CPU time of processes so far, seconds."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            user, system = stat_fields(pid)[11:13]
            ticks += int(user) + int(system)
    return ticks / TICKS_PER_S


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third one, the state, on."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
