"""What a process of its own costs an inference: milliseconds a photo, seconds of start, megabytes.

    python benchmarks/isolation.py [--photos 400] [--size 640x480]

A runtime in the thread and one in a process of its own screen the same photo in turns, so that whatever else the
machine does falls on both, each after a pause, as between requests. The difference is taken pair by pair; its median is
the cost, and the quartiles show the noise.
`transport` is the same way there and back with a model input and 100 boxes, and no inference.
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
from app.detector.runtimes.load import load_in_process, load_runtime
from app.photo.decoding import decode
from app.photo.resizing import resize

ROOT = Path(__file__).parent.parent

PAUSE_S = 0.02


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--size", default="640x480", help="of the photo, WIDTHxHEIGHT")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    photo = decode(min((ROOT / "examples" / "img_train").glob("*.jpg")).read_bytes()).pixels
    photo = resize(photo, height, width)
    bundle = read_bundle(find_bundle(ROOT / "model_store"))

    started = time.perf_counter()
    here = load_runtime(bundle, "litert", threads=arguments.threads)
    loaded = time.perf_counter()
    there = load_in_process(bundle, "litert", threads=arguments.threads)
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


def _milliseconds(runtime: Runtime, photo: np.ndarray) -> float:
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
