"""The effect of a change: servers of several checkouts under the same load, in turns.

    python -m benchmarks.checkouts ../before . [--clients 8] [--rounds 5] [--accept application/json] [--photo 640x480]

`git worktree add ../before REVISION` creates such a checkout. Each serves its own int8 model. Printed are the medians
over the rounds: photos per second, p50 and p99, and CPU milliseconds per request in the server's first process and in
its workers.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path

from benchmarks import load, photos
from benchmarks.process_tree import cpu_s, processes
from benchmarks.serving import Server, serving


def measure(server: Server, paths: list[Path], **options: object) -> dict[str, float]:
    """One round of load."""
    pids = processes(server.pid)
    before = [cpu_s([pid]) for pid in pids]
    figures = load.measure(f"{server.url}/detect", paths, warm_up=2, **options)
    spent = [(cpu_s([pid]) - start) * 1000 / figures["requests"] for pid, start in zip(pids, before, strict=True)]
    return {
        "photos a second": figures["throughput"],
        "p50 ms": figures["p50_ms"],
        "p99 ms": figures["p99_ms"],
        "server CPU ms": spent[0],
        "workers CPU ms": sum(spent[1:]),
    }


def main(given: list[str] | None = None) -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", type=Path, nargs="+")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--accept", default="application/json")
    parser.add_argument("--photo", default=photos.name_of(photos.SMALL), choices=[*map(photos.name_of, photos.SIZES)])
    arguments = parser.parse_args(given)
    paths = photos.named()[arguments.photo]
    options = {"clients": arguments.clients, "seconds": arguments.seconds, "accept": arguments.accept}
    with ExitStack() as stack:
        servers = {path: stack.enter_context(serving(checkout=path.resolve())) for path in arguments.checkouts}
        rounds = [
            {path: measure(server, paths, **options) for path, server in servers.items()}
            for _ in range(arguments.rounds)
        ]
    names = list(next(iter(rounds[0].values())))
    print(f"| checkout | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
    for path in arguments.checkouts:
        medians = [statistics.median(taken[path][name] for taken in rounds) for name in names]
        print(f"| {path} | {' | '.join(f'{value:.1f}' for value in medians)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
