"""The worker's side of a runtime in a separate process."""

import contextlib
import json
import math
import os
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

from app.detector.detections import Detections
from app.detector.runtimes import Runtime, worker
from app.detector.runtimes.messages import receive, send, shared_array


@pytest.mark.slow
def test_a_worker_imports_no_more_than_it_needs() -> None:
    code = "import sys, app.detector.runtimes.worker, app.detector.runtimes.litert; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # With OpenSSL, multiprocessing and what they bring along, a worker takes 7 MB more.
    assert {"hashlib", "multiprocessing", "subprocess", "PIL", "app.detector.bundle"}.isdisjoint(done.stdout.split())


def test_a_failing_photo_does_not_end_the_worker(monkeypatch) -> None:
    class Unlucky(Runtime):
        name, device = "litert", "cpu"

        def detect(self, pixels: np.ndarray) -> Detections:
            """Fails on dark photos."""
            if not pixels.any():
                raise ValueError("too dark")
            return Detections.empty()

    monkeypatch.setattr(worker, "load", lambda job: Unlucky())
    ours, theirs = socket.socketpair()
    shape = (1, 320, 320, 3)
    memory = os.memfd_create("photos")
    os.ftruncate(memory, math.prod(shape))
    inputs = shared_array(memory, shape)

    def serve() -> None:
        with contextlib.suppress(EOFError):
            worker.serve(theirs, memory)

    thread = threading.Thread(target=serve)
    thread.start()
    send(ours, json.dumps({"shape": shape}).encode())
    loaded = {"name": "litert", "device": "cpu", "batch_size": 1, "detects_alone": False}
    assert json.loads(receive(ours)) == loaded
    for value, answer in ((0, b"\1ValueError: too dark"), (9, b"\0\0\0\0\0"), (0, b"\1ValueError: too dark")):
        inputs[:] = value
        send(ours, bytes((0, 1, 0)))
        assert receive(ours) == answer
    ours.close()
    thread.join(5)
    assert not thread.is_alive()
    theirs.close()
