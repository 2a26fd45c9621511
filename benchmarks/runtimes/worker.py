"""One variant of the detector in a process of its own, so that its memory and start are its own.

    python -m benchmarks.runtimes.worker LOADER FILE THREADS PHOTOS.npy

Photos are uint8 `[photos, height, width, 3]`. Answers are JSON, a line each, on standard output; the first comes by
itself when the variant has detected on the first photo:

    {"load_s", "memory_mb", "base_mb"}    `base_mb` is the process before it imported the runtime; or {"error"}
    time N     {"ms": [...]}              of N detections, photo after photo, after two that are not counted
    detect     {"detections": [[[ymin, xmin, ymax, xmax, score, class id], ...], ...]}    of every photo
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.runtimes.detectors import LOADERS

WARM_UP = 2


def main() -> int:
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    loader, file, threads, photos_file = sys.argv[1:5]
    photos = np.load(photos_file, mmap_mode="r")
    first = np.array(photos[0])
    base_mb = resident_mb()
    started = time.perf_counter()
    try:
        detect = LOADERS[loader](Path(file), int(threads))
        detect(first)
    except Exception as error:
        answer({"error": f"{type(error).__name__}: {error}"})
        return 1
    load_s = time.perf_counter() - started
    for _ in range(3):
        detect(first)
    answer({"load_s": load_s, "memory_mb": resident_mb(), "base_mb": base_mb})
    for line in sys.stdin:
        match line.split():
            case ["time", repeat]:
                times = []
                for number in range(WARM_UP + int(repeat)):
                    pixels = np.array(photos[number % len(photos)])
                    started = time.perf_counter()
                    detect(pixels)
                    times.append((time.perf_counter() - started) * 1000)
                answer({"ms": times[WARM_UP:]})
            case ["detect"]:
                found = [detect(np.array(pixels)) for pixels in photos]
                rows = [np.column_stack([item.boxes, item.scores, item.class_ids]).tolist() for item in found]
                answer({"detections": rows})
    return 0


def resident_mb() -> float:
    """Resident memory of this process, 10**6 bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main())
