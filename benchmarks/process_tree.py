"""A server's processes and their memory, from /proc."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path


def children(pid: int | str) -> list[int]:
    """The children of a process, `self` or one by its number, whichever of its threads made them."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        # A thread that has ended since leaves its children to another.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, path.read_text(encoding="ascii").split())
    return sorted(found)


def processes(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *children(pid)]


def memory_kib(pids: list[int]) -> int:
    """Resident memory of processes together; one that has ended has none."""
    kib = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
            kib += int(found[1]) if found else 0
    return kib
