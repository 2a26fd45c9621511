"""What large photos leave behind in a process."""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
import numpy as np
from app.process.memory import return_large_blocks

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


CRASH = """
import resource, subprocess, sys
from app.process.memory import keep_out_of_core_dumps

hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
keep_out_of_core_dumps()
child = "import ctypes; ctypes.string_at(0)"
print(subprocess.run([sys.executable, "-c", child]).returncode, *resource.getrlimit(resource.RLIMIT_CORE))
"""


def left(mode: str) -> int:
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", CODE, mode], cwd=root, capture_output=True, text=True, check=True)
    return int(done.stdout)


SCATTERED = """
from app.process.memory import return_free_pages

def resident_mib():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) // 1024

before = resident_mib()
blocks = [bytearray(50_000) for _ in range(2_000)]
held = blocks[::40]
del blocks
scattered = resident_mib() - before
return_free_pages()
print(scattered, resident_mib() - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this is not glibc")
def test_free_pages_between_used_blocks_go_back_to_the_system() -> None:
    command = [sys.executable, "-c", SCATTERED]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True)
    scattered, left = map(int, done.stdout.split())
    assert scattered > 50
    assert left < 10


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this is not glibc")
def test_large_blocks_go_back_to_the_system() -> None:
    assert left("on") < 10
    assert left("off") > 15, "glibc by itself keeps them, which is what this is for"


def test_a_crash_leaves_no_core_dump(tmp_path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", CRASH]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    status, soft, hard = map(int, done.stdout.split())
    assert status == -signal.SIGSEGV
    assert max(soft, hard) <= 1
    assert list(tmp_path.iterdir()) == []


def test_pages_of_a_mapped_file_leave_the_process_and_come_back(tmp_path) -> None:
    code = """
import mmap, sys
from pathlib import Path
from app.process.memory import unmap_pages

def resident(path):
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    found = [next(line for line in lines if line.startswith("Rss:")) for line in lines if path in line]
    return [int(line.split()[1]) for line in found]

path = sys.argv[1]
with open(path, "rb") as stream:
    mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
whole = mapped[:]
print(*resident(path))
unmap_pages("another")
print(*resident(path))
unmap_pages(Path(path).name)
print(*resident(path))
print(mapped[:] == whole)
"""
    file = tmp_path / "some-model"
    file.write_bytes(os.urandom(2**20))
    command = [sys.executable, "-c", code, str(file)]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1024", "1024", "0", "True"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this is not glibc")
def test_kept_blocks_are_not_faulted_in_again() -> None:
    code = """
import resource, sys
import numpy as np
from app.process.memory import keep_freed_blocks

if sys.argv[1] == "on":
    keep_freed_blocks()
def batch():
    tensors = [np.ones(40 * 2**20, np.uint8) for _ in range(3)]
batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    batch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

    def faults(mode: str) -> int:
        command = [sys.executable, "-c", code, mode]
        environment = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"}
        root = Path(__file__).parents[3]
        return int(subprocess.run(command, cwd=root, env=environment, capture_output=True, check=True).stdout)

    assert faults("on") < 1_000
    assert faults("off") > 50_000


def test_dropped_code_runs_again() -> None:
    """The pages of a library's code come back when it is called."""
    from pydantic import TypeAdapter

    from app.process.memory import unmap_pages

    unmap_pages("pydantic_core", code_only=True)
    assert TypeAdapter(list[int]).validate_python(["1"]) == [1]
