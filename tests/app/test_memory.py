"""What large photos leave behind in a process."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
import numpy as np
from app.memory import return_large_blocks

def resident_mib():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) // 1024

if sys.argv[1] == "on":
    return_large_blocks()
before = resident_mib()
np.ones(24 * 2**20, np.uint8)  # its end raises glibc's own bounds
held = []
for _ in range(10):
    large = [np.ones(20 * 2**20, np.uint8) for _ in range(4)]
    held.append(np.ones(1000, np.uint8))
    del large
print(resident_mib() - before)
"""


def left(mode: str) -> int:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", CODE, mode], cwd=root, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this is not glibc")
def test_large_blocks_go_back_to_the_system() -> None:
    assert left("on") < 10
    assert left("off") > 15, "glibc by itself keeps them, which is what this is for"
