"""Processor time of one inference of each model on one thread, in rounds that alternate.

    python benchmarks/model_cost.py MODEL.tflite MODEL.tflite ... [--rounds 20]

Processor time hardly depends on what else the machine does, unlike time on the clock.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from app.detector.runtimes.litert import LiteRTRuntime


def measure(models: list[Path], rounds: int) -> dict[Path, list[float]]:
    """Milliseconds of processor time of each round's inference, model by model."""
    photo = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    runtimes = {model: LiteRTRuntime(model, threads=1) for model in models}
    found: dict[Path, list[float]] = {model: [] for model in models}
    for _ in range(rounds + 1):
        for model, runtime in runtimes.items():
            started = time.process_time()
            runtime.detect(photo)
            found[model].append((time.process_time() - started) * 1000)
    # The first round warms up.
    return {model: times[1:] for model, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    print("| model | ms of processor time, median | least |\n|---|---|---|")
    for model, times in measure(arguments.models, arguments.rounds).items():
        print(f"| {model} | {statistics.median(times):.1f} | {min(times):.1f} |")


if __name__ == "__main__":
    main()
