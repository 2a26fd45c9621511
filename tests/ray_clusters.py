"""A Ray cluster of two nodes on this machine, each with two logical cores."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.app.api.live_server import wait_for
from tests.conftest import ROOT

SCRIPT = """
import sys, traceback
from ray.cluster_utils import Cluster

node = {"num_cpus": 2, "object_store_memory": 200 * 2**20}
lean = {"no_monitor": True, "include_log_monitor": False, "include_dashboard": False}

def patiently(work):
    # On a busy machine, some process of a node may not start within Ray's fixed 15 or 30 seconds.
    for _ in range(5):
        try:
            return work()
        except Exception:
            traceback.print_exc()
    sys.exit(1)

def start():
    cluster = Cluster()
    try:
        cluster.add_node(**node, **lean)
    except Exception:
        cluster.shutdown()
        raise
    return cluster

cluster = patiently(start)
second = patiently(lambda: cluster.add_node(**node))
print("ADDRESS", cluster.address, flush=True)
for line in sys.stdin:
    if line == "kill\\n":
        cluster.remove_node(second, allow_graceful=False)
    else:
        second = patiently(lambda: cluster.add_node(**node))
    print("DONE", flush=True)
cluster.shutdown()
"""

PATIENT = {
    "RAY_raylet_start_wait_time_s": "300",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_worker_niceness": "0",
}
"""On a busy machine a node starts slowly, and workers would hardly run at Ray's niceness of 15."""


class TwoNodes:
    """A running cluster.

    Attributes:
        python: of its environment.
        address: of its head node.
        environment: variables of its processes.
    """

    def __init__(self, python: Path, environment: Mapping[str, str] | None = None) -> None:
        self.python = python
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CARIES_")}
        self.environment = {**inherited, **(environment or {}), **PATIENT, "RAY_USAGE_STATS_ENABLED": "0"}
        self._process = subprocess.Popen(
            [python, "-c", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=ROOT,
        )
        self.address = self._line("ADDRESS").split()[1]

    def kill_node(self) -> None:
        """End the processes of the second node, as a loss of power would."""
        self._say("kill")

    def add_node(self) -> None:
        """Start another second node."""
        self._say("add")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `python ARGUMENTS` in the cluster's environment, and return its process."""
        return subprocess.Popen(
            [self.python, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=ROOT,
        )

    @staticmethod
    def wait(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
        """Wait while the process runs until the condition is met."""

        def is_met() -> bool:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
            return condition()

        wait_for(is_met, 300)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `python ARGUMENTS` in the cluster's environment."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=900)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def close(self) -> None:
        """Stop the cluster."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(120)

    def _say(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        self._line("DONE")

    def _line(self, start: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:  # Ray prints others
            if line.startswith(start):
                return line
        raise RuntimeError("the cluster ended")


@contextmanager
def two_nodes(python: Path, environment: Mapping[str, str] | None = None) -> Iterator[TwoNodes]:
    """A cluster that is stopped after the block."""
    cluster = TwoNodes(python, environment)
    try:
        yield cluster
    finally:
        cluster.close()
