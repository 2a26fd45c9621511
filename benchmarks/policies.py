"""Ways to share the cores between inferences, compared on real servers: `caries serve` with different settings.

    python -m benchmarks.policies "--workers 1 --threads 2" "--workers 2 --threads 1" "" [--clients 1,2,8] [--rounds 3]

Each text is the flags of one server, the empty one the settings that it is shipped with. All servers are started, and
get the load in turns, so that whatever else the machine does falls on all. `floor` is the bare way of a photo, without
a server, in one process per core with one thread each. On a busy machine compare the CPU time of a request, in all
processes of the server and in the clients; throughput and latency count on a quiet one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import statistics
import sys
import time
from multiprocessing.pool import Pool
from pathlib import Path

from app.detector.bundle import find_bundle, read_bundle
from app.detector.runtimes import Runtime, load_runtime
from app.photo import images
from app.screening import ClassSelection, assess_quality, screen
from benchmarks.fuzz import serving
from benchmarks.overload import PHOTO, Client, Load, closed_loop, quantiles
from benchmarks.process_tree import memory_kib, processes

ROOT = Path(__file__).parents[1]
PRECISION = "int8"
TICKS = os.sysconf("SC_CLK_TCK")

runtime: Runtime
"""Of a process of the floor."""


def main() -> int:
    """Prints a line for each number of clients, server and round, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("flags", nargs="*", default=[""], help="of one server, in quotes")
    parser.add_argument("--clients", default="1,2,8")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of load in each round")
    parser.add_argument("--photo", type=Path, default=min(PHOTO.glob("*.jpg")))
    arguments = parser.parse_args()
    photo = arguments.photo.read_bytes()
    clients = [int(number) for number in arguments.clients.split(",")]
    figures: dict[tuple[int, str], list[dict[str, float]]] = {}
    cores = len(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:
        floor = stack.enter_context(multiprocessing.get_context("spawn").Pool(cores, _load_floor))
        servers = {flags: stack.enter_context(serving(*flags.split())) for flags in arguments.flags}
        for port, _ in servers.values():
            asyncio.run(_wait(Client(port, photo)))
        for _ in range(arguments.rounds):
            _note(figures, 0, "floor", _measure_floor(floor, cores, photo, arguments.seconds))
            for number in clients:
                for flags, (port, process) in servers.items():
                    _note(figures, number, flags, _measure(port, process.pid, photo, number, arguments.seconds))
    for (number, name), rounds in figures.items():
        medians = {key: statistics.median(entry[key] for entry in rounds) for key in rounds[0]}
        print(f"{number:3} clients  {name or 'as shipped':36} {_shown(medians)}")
    return 0


def _note(
    figures: dict[tuple[int, str], list[dict[str, float]]], clients: int, name: str, found: dict[str, float]
) -> None:
    print(f"  {clients:3} {name:36} {_shown(found)}", flush=True)
    figures.setdefault((clients, name), []).append(found)


def _shown(figures: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.2f}" for name, value in figures.items())


async def _wait(client: Client) -> None:
    """Returns when the server has answered some photos."""
    load = Load()
    while load.statuses[200] < 10:
        await client.send(load)
        await asyncio.sleep(0.02)


def _measure(port: int, server: int, photo: bytes, clients: int, seconds: float) -> dict[str, float]:
    pids = processes(server)
    before, own = sum(map(_cpu_s, pids)), time.process_time()
    load = asyncio.run(closed_loop(Client(port, photo), clients, seconds))
    served = len(load.accepted_ms)
    return {
        "a second": served / load.seconds,
        **quantiles(load.accepted_ms),
        "server CPU ms": (sum(map(_cpu_s, pids)) - before) * 1000 / served,
        "client CPU ms": (time.process_time() - own) * 1000 / served,
        "MB": memory_kib(pids) * 1024 / 1e6,
    }


def _cpu_s(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / TICKS


def _load_floor() -> None:
    global runtime
    runtime = load_runtime(read_bundle(find_bundle(ROOT / "model_store")), "litert", precision=PRECISION, threads=1)


def _measure_floor(pool: Pool, cores: int, photo: bytes, seconds: float) -> dict[str, float]:
    done = pool.starmap(_run_floor, [(photo, seconds)] * cores, chunksize=1)
    times, cpu_s = [time for times, _ in done for time in times], sum(cpu for _, cpu in done)
    return {"a second": len(times) / seconds, **quantiles(times), "CPU ms": cpu_s * 1000 / len(times)}


def _run_floor(data: bytes, seconds: float) -> tuple[list[float], float]:
    """Milliseconds of each photo, and the seconds of CPU time of all."""
    times, started, cpu = [], time.perf_counter(), time.process_time()
    while time.perf_counter() - started < seconds:
        begun = time.perf_counter()
        photo = images.decode(data)
        quality = assess_quality(photo.pixels)
        screen(
            runtime.detect(photo.pixels),
            quality,
            screened_class_id=2,
            score_threshold=0.4,
            max_boxes=5,
            classes=ClassSelection.CARIES,
        )
        times.append((time.perf_counter() - begun) * 1000)
    return times, time.process_time() - cpu


if __name__ == "__main__":
    sys.exit(main())
