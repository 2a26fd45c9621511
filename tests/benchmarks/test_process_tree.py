"""Processes, their memory and CPU time are found."""

import subprocess
import sys
import threading
import time

import pytest

from benchmarks.process_tree import children, cpu_s, memory_kib

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
    assert children(child.pid) == []  # it has ended


def test_memory_and_cpu_time_are_summed_and_zero_for_processes_that_have_ended() -> None:
    command = [sys.executable, "-c", "sum(range(10**7)); print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        resident, peak = memory_kib([child.pid]), memory_kib([child.pid], "VmHWM")
        assert 1000 < resident <= peak
        assert memory_kib([child.pid, child.pid]) == 2 * resident
        assert cpu_s([child.pid]) > 0.01
        child.communicate()
    assert memory_kib([child.pid]) == cpu_s([child.pid]) == 0
