"""Processes of the server's own, and the memory that it shares with them."""

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


def start(module: str, arguments: Sequence[object], **options: Any) -> subprocess.Popen[bytes]:
    """A process that runs a module of this package.

    Args:
        module: its full name.
        arguments: of its command line.
        options: of `subprocess.Popen`.

    Raises:
        OSError: none can be started.
    """
    import subprocess  # which the processes that import this module do without

    # Wherever this package was imported from, the process imports the same one.
    paths = (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", ""))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        **options,
    )


def ignore_signals_to_all() -> None:
    """Lets this process live through the signals that a terminal and some service managers send to every process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def how_it_ended(status: int) -> str:
    """A process's return code, as `subprocess` gives it, in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


@contextmanager
def memory(name: str) -> Iterator[int]:
    """The file descriptor of memory without a file, see `seal`; whoever has mapped it or inherited it keeps it."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def seal(descriptor: int) -> None:
    """Lets nobody change the memory any more, nor its size, which would end whoever has mapped it.

    Raises:
        OSError: somebody has mapped it to write.
    """
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
