"""The server under load, in turns with the same calls without a server.

    python -m benchmarks.server --out server.json [--rounds 5] [--soak 20000]

Servers are started by `benchmarks.serving`, and the load comes from a separate process (`benchmarks.load`). Every round
gives each condition a few seconds, so that other work on the machine affects all alike; medians over the rounds are
reported.

    detect    /detect: JSON and PNG, 640x480 to 4032x3024 and real photos, 1 to 32 clients, raw and multipart bodies;
              and the floor of latency and of throughput (`benchmarks.floor`)
    batch     bursts of 8 photos in one request, to a server with all cores and to one with a single core
    batching  32 clients of the TensorFlow runtime, with and without batches of waiting photos
    start     seconds until ready, memory after one answer
    soak      memory after 1,000 requests and up to `--soak`
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from benchmarks import footprint, photos
from benchmarks.floor import CORES, FloorProcesses
from benchmarks.serving import serving

CLIENTS = (1, 2, 8, 32)
BURST = 8
PNG, JSON = "image/png", "application/json"

Figures = dict[str, Any]


def in_turns(conditions: dict[str, Callable[[], Figures]], rounds: int, *, quiet: bool = False) -> dict[str, Figures]:
    """Measure each condition once in every round; the `summary` of each."""
    taken: dict[str, list[Figures]] = {name: [] for name in conditions}
    for number in range(1, rounds + 1):
        for name, condition in conditions.items():
            taken[name].append(condition())
            if not quiet:
                short = {
                    key: value for key, value in taken[name][-1].items() if key in ("throughput", "p50_ms", "p99_ms")
                }
                print(f"round {number}  {name:32} {short}", file=sys.stderr, flush=True)
    return {name: summary(figures) for name, figures in taken.items()}


def summary(figures: list[Figures]) -> Figures:
    """Medians over the rounds, and `rounds`, the throughput of each."""
    return {**medians(figures), "rounds": [round(item["throughput"], 2) for item in figures]}


def medians(figures: list[Figures]) -> Figures:
    """Medians of the numbers of several rounds."""
    numbers = [key for key, value in figures[0].items() if isinstance(value, int | float)]
    return {key: round(statistics.median(item[key] for item in figures), 3) for key in numbers}


def detect(rounds: int, seconds: float) -> dict[str, Figures]:
    """`/detect` and the floor."""
    pictures = photos.named()
    small, medium, large = map(photos.name_of, photos.SIZES)
    data = {name: paths[0].read_bytes() for name, paths in pictures.items()}
    with ExitStack() as stack:
        one = stack.enter_context(FloorProcesses(1, CORES))
        each = stack.enter_context(FloorProcesses(CORES, 1))
        shipped = stack.enter_context(serving())
        conditions: dict[str, Callable[[], Figures]] = {}

        def floor(name: str, workers: FloorProcesses, kind: Literal["json", "png"], size: str) -> None:
            conditions[name] = lambda: workers.run(kind, data[size], seconds)

        def served(name: str, size: str, clients: int, accept: str, body: str = "raw") -> None:
            conditions[name] = lambda: shipped.measure(
                pictures[size], clients=clients, seconds=seconds, accept=accept, body=body
            )

        floor(f"floor json {small} latency", one, "json", small)
        floor(f"floor json {small} throughput", each, "json", small)
        floor(f"floor json {large} latency", one, "json", large)
        floor(f"floor png {medium} latency", one, "png", medium)
        floor(f"floor png {medium} throughput", each, "png", medium)
        for clients in CLIENTS:
            served(f"json {small} {clients} raw", small, clients, JSON)
            served(f"json {small} {clients} multipart", small, clients, JSON, "multipart")
            served(f"png {medium} {clients} raw", medium, clients, PNG)
        served(f"json {medium} 1 raw", medium, 1, JSON)
        served(f"json {large} 1 raw", large, 1, JSON)
        served(f"png {medium} 1 multipart", medium, 1, PNG, "multipart")
        if "real" in pictures:
            served("json real 8 raw", "real", 8, JSON)
        return in_turns(conditions, rounds)


def batch(rounds: int, seconds: float) -> dict[str, Figures]:
    """Bursts of photos in one request, on all cores and on one."""
    burst = photos.rendered(photos.SMALL, BURST)
    with serving() as on_all, serving(cores={min(os.sched_getaffinity(0))}) as on_one:
        options: Figures = {
            "path": "/detect/batch",
            "body": "burst",
            "field": "files",
            "seconds": seconds,
            "warm_up": 2,
        }
        return in_turns(
            {
                "batch, all cores": lambda: on_all.measure(burst, **options),
                "batch, one core": lambda: on_one.measure(burst, **options),
            },
            rounds,
        )


def batching(rounds: int, seconds: float) -> dict[str, Figures]:
    """The TensorFlow runtime under 32 clients, with and without batches of waiting photos; empty without TensorFlow."""
    if importlib.util.find_spec("tensorflow") is None:
        return {}
    photo = photos.rendered(photos.SMALL)
    flags = ("--runtime", "tensorflow", "--precision", "float32")
    with serving(*flags) as batched, serving(*flags, "--batch-size", "1") as single:
        return in_turns(
            {
                "tensorflow, batched": lambda: batched.measure(photo, clients=32, seconds=seconds),
                "tensorflow, one by one": lambda: single.measure(photo, clients=32, seconds=seconds),
            },
            rounds,
        )


def start(runs: int) -> Figures:
    """Medians of `benchmarks.footprint`."""
    measured = [footprint.measure("int8") for _ in range(runs)]
    return {name: round(statistics.median(run[name] for run in measured), 3) for name in measured[0]}


def soak(requests: int) -> Figures:
    """Memory in MB after 1,000 requests and after each quarter of `requests`, and its growth as a ratio."""
    photo = photos.rendered(photos.SMALL)
    memory: dict[str, float] = {}
    with serving() as server:
        done = 0
        for upto in sorted({1000, *(requests * quarter // 4 for quarter in range(1, 5))}):
            count = upto - done
            figures = server.measure(photo, clients=8, requests=max(1, count), warm_up=0)
            done = upto
            memory[str(done)] = figures["memory_mb"]
            print(f"soak  {done} requests: {figures['memory_mb']} MB", file=sys.stderr, flush=True)
    values = list(memory.values())
    return {"memory_mb": memory, "growth": round(max(values) / values[0], 4)}


def main() -> int:
    """Run the parts and write their figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of load for each condition in each round")
    parser.add_argument("--soak", type=int, default=20_000, help="requests of the memory test")
    parser.add_argument("--only", choices=("detect", "batch", "batching", "start", "soak"), action="append")
    arguments = parser.parse_args()
    parts: dict[str, Callable[[], Figures]] = {
        "detect": lambda: detect(arguments.rounds, arguments.seconds),
        "batch": lambda: batch(arguments.rounds, arguments.seconds),
        "batching": lambda: batching(arguments.rounds, arguments.seconds),
        "start": lambda: start(arguments.rounds),
        "soak": lambda: soak(arguments.soak),
    }
    result: Figures = {"rounds": arguments.rounds, "seconds": arguments.seconds, "cores": CORES}
    for name, part in parts.items():
        if arguments.only is None or name in arguments.only:
            result[name] = part()
            if arguments.out:
                arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
