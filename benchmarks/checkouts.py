"""What a change to the code did: servers of several checkouts under the same load, in turns.

    git worktree add ../before COMMIT
    python -m benchmarks.checkouts ../before . [--clients 8] [--rounds 5] [--accept application/json] [--photo 640x480]

Each server is `caries serve` of its checkout with that checkout's int8 model and no limit of requests. Prints the
medians over the rounds: photos a second, p50 and p99, and the processor's milliseconds of a request in the server's own
process and in its workers.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import load, photos
from benchmarks.cpu_profile import cpu_s
from benchmarks.process_tree import processes
from benchmarks.server import Server, wait_until_ready


@contextmanager
def serving(checkout: Path) -> Iterator[Server]:
    """The server of a checkout, ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = [sys.executable, "-P", "-m", "app", "serve", "--port", str(port), "--precision", "int8"]
    process = subprocess.Popen(
        [*command, "--model-store", "model_store", "--requests-per-minute", "0", "--log-level", "error"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        stderr=subprocess.DEVNULL,
    )
    try:
        running = Server(port, process.pid)
        wait_until_ready(running.url)
        yield running
    finally:
        process.terminate()
        process.wait()


def measure(server: Server, paths: list[Path], **options: object) -> dict[str, float]:
    """One round of load."""
    pids = processes(server.pid)
    before = [cpu_s(pid) for pid in pids]
    figures = load.measure(f"{server.url}/detect", paths, warm_up=2, **options)
    own, *workers = [(cpu_s(pid) - start) * 1000 / figures["requests"] for pid, start in zip(pids, before, strict=True)]
    return {
        "photos a second": figures["throughput"],
        "p50 ms": figures["p50_ms"],
        "p99 ms": figures["p99_ms"],
        "server CPU ms": own,
        "workers CPU ms": sum(workers),
    }


def main(given: list[str] | None = None) -> int:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", type=Path, nargs="+")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--accept", default="application/json")
    parser.add_argument("--photo", default="640x480", choices=[f"{width}x{height}" for width, height in photos.SIZES])
    arguments = parser.parse_args(given)
    paths = photos.named()[arguments.photo]
    options = {"clients": arguments.clients, "seconds": arguments.seconds, "accept": arguments.accept}
    with ExitStack() as stack:
        servers = {path: stack.enter_context(serving(path.resolve())) for path in arguments.checkouts}
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
