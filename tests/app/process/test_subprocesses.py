import mmap
import os
import signal
import subprocess
import sys

import pytest

from app.process.subprocesses import anonymous_memory, describe_exit, seal, start_module
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "exit status 0"), (3, "exit status 3"), (-signal.SIGSEGV, "SIGSEGV"), (-signal.SIGRTMIN - 5, "signal 39")],
)
def test_exits_are_described_in_words(status: int, words: str) -> None:
    assert describe_exit(status) == words


def test_a_process_runs_this_package_wherever_it_is_started(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("raise SystemExit('another package')")
    monkeypatch.chdir(tmp_path)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with start_module("app", ["--version"], **pipes) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"another" not in out


def test_a_process_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(OSError, match="No such file"):
        start_module("app", [])


def test_anonymous_memory_is_shared_and_then_released() -> None:
    with anonymous_memory("photo") as shared:
        os.write(shared, b"teeth")
        copy = os.dup(shared)
        assert os.fstat(shared).st_nlink == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(shared)
    assert os.pread(copy, 10, 0) == b"teeth"
    os.close(copy)


def test_sealed_memory_cannot_be_changed() -> None:
    with anonymous_memory("photo") as shared:
        os.write(shared, b"teeth")
        seal(shared)
        with pytest.raises(OSError, match="Operation not permitted"):
            os.write(shared, b"more")
        with pytest.raises(OSError, match="Operation not permitted"):
            os.ftruncate(shared, 0)
    with anonymous_memory("photo") as shared:
        os.write(shared, b"teeth")
        with mmap.mmap(shared, 5), pytest.raises(OSError, match="busy"):
            seal(shared)


def test_shutdown_signals_are_ignored_on_request() -> None:
    code = """
import os, signal
from app.process.subprocesses import ignore_shutdown_signals
ignore_shutdown_signals()
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    os.kill(os.getpid(), number)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
