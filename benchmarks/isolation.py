"""The cost of running inference in a separate process: milliseconds per photo, seconds of start, MB.

    python -m benchmarks.isolation [--photos 400] [--size 640x480]

A runtime in this process and one in a worker process detect on the same photo in turns, each after a pause, as between
requests. The cost is the median of the differences, pair by pair; the quartiles show the noise. `transport` is the
round trip of a model input and 100 boxes without inference.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from multiprocessing import Pipe
from pathlib import Path

import numpy as np

from app.detector.bundle import find_bundle, read_bundle
from app.detector.runtimes import Runtime
from app.detector.runtimes.load import load_runtime
from app.detector.runtimes.process import WorkerProcess
from app.photo.decoding import decode
from app.photo.pixels import Pixels
from app.photo.resizing import resize

ROOT = Path(__file__).parents[1]
PAUSE_S = 0.02


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--size", default="640x480", help="WIDTHxHEIGHT of the photo")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    photo = decode(min((ROOT / "examples" / "img_train").glob("*.jpg")).read_bytes()).pixels
    photo = resize(photo, height, width)
    bundle = read_bundle(find_bundle(ROOT / "model_store"))

    started = time.perf_counter()
    here = load_runtime(bundle, "litert", threads=arguments.threads)
    loaded = time.perf_counter()
    there = WorkerProcess(bundle, "litert", threads=arguments.threads)
    print(f"start: thread {loaded - started:.2f} s, process {time.perf_counter() - loaded:.2f} s")

    differences = []
    for turn in range(arguments.photos):
        first, second = (here, there) if turn % 2 else (there, here)
        times = {id(runtime): _milliseconds(runtime, photo) for runtime in (first, second)}
        differences.append(times[id(there)] - times[id(here)])
    low, middle, high = np.percentile(differences[10:], [25, 50, 75])
    print(f"process - thread, {arguments.size}: median {middle:.2f} ms, quartiles {low:.2f} and {high:.2f}")
    print(f"transport: median {_transport(bundle.input_height * bundle.input_width * 3):.2f} ms")
    for name, pid in (("server with a runtime", os.getpid()), ("worker", there.pid)):
        kib = Path(f"/proc/{pid}/smaps_rollup").read_text().split("Pss:")[1].split()[0]
        print(f"{name}: {int(kib) * 1024 / 1e6:.0f} MB")
    there.close()
    return 0


def _milliseconds(runtime: Runtime, photo: Pixels) -> float:
    time.sleep(PAUSE_S)
    started = time.perf_counter()
    runtime.detect(photo)
    return (time.perf_counter() - started) * 1000


def _transport(samples: int, turns: int = 500) -> float:
    ours, theirs = Pipe()

    def answer() -> None:
        for _ in range(turns):
            theirs.recv_bytes()
            theirs.send_bytes(bytes(100 * 6 * 4 + 1))

    echo = threading.Thread(target=answer)
    echo.start()
    pixels = np.zeros(samples, np.uint8)
    times = []
    for _ in range(turns):
        started = time.perf_counter()
        ours.send_bytes(pixels.data)
        ours.recv_bytes()
        times.append((time.perf_counter() - started) * 1000)
    echo.join()
    return float(np.median(times))


if __name__ == "__main__":
    sys.exit(main())
