"""The real server under load, beside the bare way of a photo, in turns.

    python -m benchmarks.server --out server.json [--rounds 5] [--soak 20000]

Servers are those that are shipped, `caries serve` with its default settings but for the int8 model and without a rate
limit, each in processes of its own; the load comes from another process (`benchmarks.load`). In every round each
condition gets a few seconds, so that whatever else the machine does falls on all; medians over the rounds are reported.

    floor     `benchmarks.floor`: one process with all cores (latency), one process per core (throughput)
    json, png 640x480 and 1600x1200, 1 to 32 clients, raw and multipart bodies; 4032x3024; real photos if there are any
    batch     bursts of 8 photos in one request, to a server with all cores and to one that is held to one core
    batching  32 clients to the TensorFlow runtime, with and without batches of waiting photos
    start     seconds until ready, memory after one answer
    soak      memory after 1,000 requests and after as many as `--soak` says
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import load, photos
from benchmarks.floor import CORES, FloorProcesses
from benchmarks.footprint import measure as measure_start
from benchmarks.fuzz import serving
from benchmarks.process_tree import memory_kib, processes

TICKS = os.sysconf("SC_CLK_TCK")
CLIENTS = (1, 2, 8, 32)
BURST = 8
PNG, JSON = "image/png", "application/json"

Figures = dict[str, Any]


class Server:
    """A server that runs.

    Attributes:
        url: without a path.
        pid: of its first process.
    """

    def __init__(self, port: int, pid: int) -> None:
        self.url, self.pid = f"http://127.0.0.1:{port}", pid

    def under(self, paths: list[Path], *, path: str = "/detect", **options: Any) -> Figures:
        """What `benchmarks.load` measured, with the server's CPU time a request and its memory in MB."""
        before = cpu_s(self.pid)
        figures = load.measure(self.url + path, paths, **options)
        # The warm-up is part of the CPU time, and of the requests here.
        sent = figures["requests"] + int(options.get("warm_up", 5))
        figures["server_cpu_ms"] = round((cpu_s(self.pid) - before) * 1000 / sent, 2)
        figures["memory_mb"] = round(memory_mb(self.pid), 1)
        return figures


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and its children so far."""
    total = 0
    for process in processes(pid):
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_mb(pid: int) -> float:
    """Resident memory of a process and its children, 10**6 bytes."""
    return memory_kib(processes(pid)) * 1024 / 1e6


@contextmanager
def server(*flags: str, cores: set[int] | None = None) -> Iterator[Server]:
    """A server that is ready.

    Args:
        flags: of `caries serve`.
        cores: that it may use; all if None.
    """
    allowed = os.sched_getaffinity(0)
    if cores is not None:
        os.sched_setaffinity(0, cores)
    try:
        with ExitStack() as stack:
            try:
                port, process = stack.enter_context(serving(*flags))
            finally:
                os.sched_setaffinity(0, allowed)
            running = Server(port, process.pid)
            wait_until_ready(running.url)
            yield running
    finally:
        os.sched_setaffinity(0, allowed)


def wait_until_ready(url: str) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/health/ready", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not become ready within a minute")


def in_turns(conditions: dict[str, Callable[[], Figures]], rounds: int, *, quiet: bool = False) -> dict[str, Figures]:
    """Measures each condition once in every round; medians of numbers, and of them the lowest and highest round."""
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
    """Medians of the numbers of several rounds, and the rounds' throughputs."""
    numbers = [key for key, value in figures[0].items() if isinstance(value, int | float)]
    medians = {key: round(statistics.median(item[key] for item in figures), 3) for key in numbers}
    return {**medians, "rounds": [round(item["throughput"], 2) for item in figures]}


def detect(rounds: int, seconds: float) -> dict[str, Figures]:
    """`/detect` beside the floor."""
    pictures = photos.named()
    small, medium, large = (f"{width}x{height}" for width, height in photos.SIZES)
    data = {name: paths[0].read_bytes() for name, paths in pictures.items()}
    with ExitStack() as stack:
        one = stack.enter_context(FloorProcesses(1, CORES))
        each = stack.enter_context(FloorProcesses(CORES, 1))
        shipped = stack.enter_context(server())
        conditions: dict[str, Callable[[], Figures]] = {}

        def floor(name: str, workers: FloorProcesses, kind: str, size: str) -> None:
            conditions[name] = lambda: workers.run(kind, data[size], seconds)

        def served(name: str, size: str, clients: int, accept: str, body: str = "raw") -> None:
            conditions[name] = lambda: shipped.under(
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
    with server() as whole, server(cores={min(os.sched_getaffinity(0))}) as held:
        options = {"path": "/detect/batch", "body": "burst", "field": "files", "seconds": seconds, "warm_up": 2}
        return in_turns(
            {
                "batch, all cores": lambda: whole.under(burst, **options),
                "batch, one core": lambda: held.under(burst, **options),
            },
            rounds,
        )


def batching(rounds: int, seconds: float) -> dict[str, Figures]:
    """The TensorFlow runtime under 32 clients, with batches of waiting photos and without."""
    if importlib.util.find_spec("tensorflow") is None:
        return {}
    photo = photos.rendered(photos.SMALL)
    flags = ("--runtime", "tensorflow", "--precision", "float32")
    with server(*flags) as together, server(*flags, "--batch-size", "1") as alone:
        return in_turns(
            {
                "tensorflow, batched": lambda: together.under(photo, clients=32, seconds=seconds),
                "tensorflow, one by one": lambda: alone.under(photo, clients=32, seconds=seconds),
            },
            rounds,
        )


def start(runs: int) -> Figures:
    """Medians of `benchmarks.footprint`."""
    measured = [measure_start("int8") for _ in range(runs)]
    return {name: round(statistics.median(run[name] for run in measured), 3) for name in measured[0]}


def soak(requests: int) -> Figures:
    """Memory after 1,000 requests and then again and again, up to so many."""
    photo = photos.rendered(photos.SMALL)
    memory: dict[str, float] = {}
    with server() as running:
        done = 0
        for upto in sorted({1000, *(requests * quarter // 4 for quarter in range(1, 5))}):
            count = upto - done
            figures = running.under(photo, clients=8, requests=max(1, count), warm_up=0)
            done = upto
            memory[str(done)] = figures["memory_mb"]
            print(f"soak  {done} requests: {figures['memory_mb']} MB", file=sys.stderr, flush=True)
    values = list(memory.values())
    return {"memory_mb": memory, "growth": round(max(values) / values[0], 4)}


def main() -> int:
    """Runs the parts that are asked for and writes their figures."""
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
