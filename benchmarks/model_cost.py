"""CPU time of one inference of each model on one thread, in alternating rounds.

    python -m benchmarks.model_cost MODEL.tflite MODEL.tflite ... [--rounds 20]

Unlike wall time, CPU time hardly depends on other work on the machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

from app.detector.runtimes.litert import LiteRTRuntime


def measure(models: list[Path], rounds: int) -> dict[Path, list[float]]:
    """CPU milliseconds of the inference in each round, by model."""
    photo = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    runtimes = {model: LiteRTRuntime(model, threads=1) for model in models}
    found: dict[Path, list[float]] = {model: [] for model in models}
    for _ in range(rounds + 1):
        for model, runtime in runtimes.items():
            started = time.process_time()
            runtime.detect(photo)
            found[model].append((time.process_time() - started) * 1000)
    # The first round is the warm-up.
    return {model: times[1:] for model, times in found.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    print("| model | CPU ms, median | lowest |\n|---|---|---|")
    for model, times in measure(arguments.models, arguments.rounds).items():
        print(f"| {model} | {statistics.median(times):.1f} | {min(times):.1f} |")


if __name__ == "__main__":
    main()
