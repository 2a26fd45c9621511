"""Subprocesses that run modules of this package, and memory to share with them."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess


def start_module(module: str, arguments: Sequence[object], **options: Any) -> subprocess.Popen[bytes]:
    """Start a process that runs a module of this package.

    Args:
        module: its full name.
        arguments: of the command line.
        options: of `subprocess.Popen`.

    Raises:
        OSError: the process cannot be started.
    """
    import subprocess  # the processes that import this module do without it

    # The process must import this package from where this process did.
    paths = (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", ""))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        **options,
    )


def ignore_shutdown_signals() -> None:
    """Ignore the signals that terminals and some service managers send to every process of a group."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def describe_exit(status: int) -> str:
    """The name of the signal or the exit status, from a return code of `subprocess`."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


@contextmanager
def anonymous_memory(name: str) -> Iterator[int]:
    """The file descriptor of memory without a file; it lasts for those who have mapped or inherited it."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def seal(descriptor: int) -> None:
    """Make anonymous memory immutable, its size included: truncation would crash a process that has mapped it.

    Raises:
        OSError: it is mapped for writing.
    """
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
