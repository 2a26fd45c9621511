"""Replicas of one core, or of a share of one, behind HAProxy with the shipped configuration."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving import ROOT, Server, free_port, serving, wait_until_ready

CONFIGURATION = ROOT / "deploy" / "haproxy" / "haproxy.cfg"
PERIOD_US = 10_000
"""Period of a quota: shorter than a photo takes, so that a replica runs slowly rather than with pauses."""

CPU_V1, CPU_V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Layout:
    """Replicas on the first cores of the machine.

    Attributes:
        replicas: their number.
        share: of a core that each may use.
    """

    replicas: int
    share: float = 1.0

    @property
    def name(self) -> str:
        """For people."""
        each = "one core" if self.share == 1 else f"a quota of {self.share:g} cores"
        return f"{self.replicas} of {each}"

    def core(self, number: int) -> int:
        """The core of a replica."""
        return int(number * self.share)


class QuotaError(RuntimeError):
    """This machine does not let the process limit its processor time."""


@contextmanager
def quota(share: float) -> Iterator[Path]:
    """A cgroup whose processes share a part of one core.

    Raises:
        QuotaError: cgroups are missing or cannot be written.
    """
    is_v1 = (CPU_V1 / "cgroup.procs").exists()
    limit = int(share * PERIOD_US)
    group = None
    try:
        group = Path(tempfile.mkdtemp(prefix="caries-scale-", dir=CPU_V1 if is_v1 else CPU_V2))
        if is_v1:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(limit))
        else:
            (group / "cpu.max").write_text(f"{limit} {PERIOD_US}")
        yield group
    except OSError as error:
        raise QuotaError(f"no processor time can be limited here: {error}") from error
    finally:
        if group is not None:
            group.rmdir()


@contextmanager
def entered(group: Path) -> Iterator[None]:
    """Processes that the block starts belong to a cgroup, as does this one meanwhile."""
    (group / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield
    finally:
        (group.parent / "cgroup.procs").write_text(str(os.getpid()))


def configuration(ports: Sequence[int]) -> str:
    """The shipped configuration with these servers instead of its two."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    shipped = re.findall(r"^ *server .*\n?", text, re.MULTILINE)
    servers = "".join(f"    server replica-{number} 127.0.0.1:{port} check\n" for number, port in enumerate(ports, 1))
    return text.replace("".join(shipped), servers)


@contextmanager
def balancer(ports: Sequence[int]) -> Iterator[Server]:
    """HAProxy in front of servers.

    Raises:
        RuntimeError: it is not installed, or did not become ready.
    """
    if shutil.which("haproxy") is None:
        raise RuntimeError("HAProxy is not installed: apt-get install haproxy")
    port = free_port()
    environment = {**os.environ, "CARIES_HAPROXY": str(CONFIGURATION.parent), "CARIES_BIND": f"127.0.0.1:{port}"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "haproxy.cfg"
        path.write_text(configuration(ports), encoding="utf-8")
        process = subprocess.Popen(["haproxy", "-db", "-f", str(path)], env=environment)
        try:
            server = Server(port, process.pid)
            wait_until_ready(server, process)
            yield server
        finally:
            process.kill()
            process.wait()


@contextmanager
def fleet(layout: Layout, *flags: str) -> Iterator[Server]:
    """The balancer in front of the replicas of a layout; errors as of `quota` and `balancer`."""
    with ExitStack() as stack:
        ports = []
        for number in range(layout.replicas):
            limited = entered(stack.enter_context(quota(layout.share))) if layout.share != 1 else nullcontext()
            with limited:
                ports.append(stack.enter_context(serving(*flags, cores={layout.core(number)})).port)
        yield stack.enter_context(balancer(ports))
