"""The benchmarks find the processes that they measure."""

import subprocess
import sys
import threading
import time

import pytest

from benchmarks.process_tree import children

pytestmark = pytest.mark.slow


def test_children_are_found_while_threads_come_and_go() -> None:
    ends = time.monotonic() + 1

    def come_and_go() -> None:
        while time.monotonic() < ends:
            thread = threading.Thread(target=time.sleep, args=(0,))
            thread.start()
            thread.join()

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        busy = threading.Thread(target=come_and_go)
        busy.start()
        try:
            while time.monotonic() < ends:
                assert child.pid in children("self")
        finally:
            busy.join()
            child.communicate()
    assert child.pid not in children("self")
    assert children(child.pid) == []  # of one that is no more
