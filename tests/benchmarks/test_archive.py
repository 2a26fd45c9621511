"""The arithmetic of the benchmark of archives."""

import os
import subprocess
import sys

import pytest

from benchmarks.archive import descendants, growth


def test_growth_leaves_the_start_out() -> None:
    assert growth([1, 2, 100, 100, 100, 100, 110, 110]) == pytest.approx(1.1)
    assert growth([5]) == 1


def test_descendants_are_found_at_any_depth() -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(input())'])"
    with subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        while len(found := descendants(os.getpid())) < 3:
            pass
        assert found[0] == os.getpid()
        assert process.pid in found
        process.stdin.write(b"done\n")
        process.stdin.close()
