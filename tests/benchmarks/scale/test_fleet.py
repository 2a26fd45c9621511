"""Layouts of replicas, quotas and the balancer's configuration."""

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.scale.fleet import CONFIGURATION, Layout, QuotaError, configuration, entered, quota


def test_each_core_has_as_many_replicas_as_fit() -> None:
    assert [Layout(2).core(number) for number in range(2)] == [0, 1]
    assert [Layout(4, 0.5).core(number) for number in range(4)] == [0, 0, 1, 1]
    assert (Layout(1).name, Layout(4, 0.5).name) == ("1 of one core", "4 of a quota of 0.5 cores")


def test_only_the_servers_of_the_shipped_configuration_change() -> None:
    shipped, changed = CONFIGURATION.read_text(encoding="utf-8"), configuration([81, 82, 83])
    (common,) = {
        "\n".join(line for line in text.splitlines() if "server replica" not in line) for text in (shipped, changed)
    }
    assert "leastconn" in common
    assert [line.split()[2] for line in changed.splitlines() if "server replica" in line] == [
        f"127.0.0.1:{port}" for port in (81, 82, 83)
    ]


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="HAProxy is not installed")
def test_haproxy_accepts_it(tmp_path: Path) -> None:
    path = tmp_path / "haproxy.cfg"
    path.write_text(configuration([81, 82, 83, 84]), encoding="utf-8")
    environment = {**os.environ, "CARIES_HAPROXY": str(CONFIGURATION.parent)}
    done = subprocess.run(["haproxy", "-c", "-f", str(path)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_quota_slows_what_the_block_starts() -> None:
    code = "import time\nbegun = time.process_time()\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass\n"
    code += "print(time.process_time() - begun)"
    with ExitStack() as stack:
        try:
            group = stack.enter_context(quota(0.2))
        except QuotaError as error:
            pytest.skip(str(error))
        with entered(group):
            process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert str(os.getpid()) not in (group / "cgroup.procs").read_text().split()
        used, _ = process.communicate(timeout=60)
        assert float(used) < 0.35
    assert not group.exists()
