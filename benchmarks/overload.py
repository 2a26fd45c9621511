"""A server under ten times its capacity: the latency of accepted requests, memory and recovery.

    python -m benchmarks.overload --seconds 300 --out overload.json
    python -m benchmarks.overload --table overload.json              print its figures as in docs/reliability.md

Capacity is measured with as many clients as the server has permits and queue places, each sending its next photo when
the last one is answered, so that none is refused. Then requests are offered at that rate, and at ten times that rate,
whether or not earlier ones are answered; then single requests until they are as fast as before. The load comes from
this process, on the same processor as the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.settings import Settings
from benchmarks.load import Connection, http_request
from benchmarks.process_tree import memory_kib, processes
from benchmarks.serving import ROOT, Server, serving

TIMES = 10
CAPACITY_CLIENTS = Settings().photos_open + Settings().queue
MEASURE_S = 20.0
RECOVERED = 1.5
"""A single request is as fast as before at up to this multiple of its median before the load."""

MAX_P99_RATIO, MAX_RECOVERY_S, MAX_GROWTH = 2.0, 2.0, 1.05


@dataclass(slots=True)
class Load:
    """The answers of a phase.

    Attributes:
        statuses: number of requests by status; 0 is a failed connection.
        accepted_ms: milliseconds of each request that was answered 200.
        refused_ms: of each that was answered 503.
        seconds: duration of the phase.
        ended: when the last request was sent, in `time.perf_counter` seconds.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    accepted_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    ended: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "statuses": {str(status): times for status, times in sorted(self.statuses.items())},
            "accepted_a_second": round(len(self.accepted_ms) / self.seconds, 1),
            "offered_a_second": round(sum(self.statuses.values()) / self.seconds, 1),
            "accepted_ms": quantiles(self.accepted_ms),
            "refused_ms": quantiles(self.refused_ms),
        }


def quantiles(milliseconds: list[float]) -> dict[str, float]:
    """`p50` and `p99`; empty for fewer than two values."""
    if len(milliseconds) < 2:
        return {}
    cuts = statistics.quantiles(milliseconds, n=100)
    return {"p50": round(cuts[49], 1), "p99": round(cuts[98], 1)}


class Client:
    """Sends a photo again and again, on idle connections where there are any."""

    def __init__(self, port: int, photo: bytes) -> None:
        self._port = port
        target = urllib.parse.urlsplit(f"http://127.0.0.1:{port}/detect")
        self._request = http_request(target, {"Content-Type": "image/jpeg", "Accept": "application/json"}, photo)
        self._idle: list[Connection] = []

    async def send(self, load: Load) -> float:
        """Send the photo, record the answer, and return the milliseconds until it; 0 if there is none."""
        started = time.perf_counter()
        connection = self._idle.pop() if self._idle else Connection("127.0.0.1", self._port)
        status, _ = await connection.send(self._request)
        taken_ms = (time.perf_counter() - started) * 1000
        self._idle.append(connection)
        load.statuses[status] += 1
        if status in (200, 503):
            (load.accepted_ms if status == 200 else load.refused_ms).append(taken_ms)
        return taken_ms if status else 0.0


async def closed_loop(client: Client, clients: int, seconds: float) -> Load:
    """Each of `clients` sends its next photo when the last one is answered."""
    load, started = Load(), time.perf_counter()

    async def one() -> None:
        while time.perf_counter() - started < seconds:
            await client.send(load)

    await asyncio.gather(*(one() for _ in range(clients)))
    load.seconds = time.perf_counter() - started
    return load


async def open_loop(client: Client, rate: float, seconds: float, each_second: Callable[[], None]) -> Load:
    """`rate` requests per second, whether or not earlier ones are answered."""
    load, started, sent, tasks = Load(), time.perf_counter(), 0, set()
    seconds_seen = 0
    while (now := time.perf_counter() - started) < seconds:
        while sent < now * rate:
            task = asyncio.create_task(client.send(load))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        if int(now) > seconds_seen:
            seconds_seen = int(now)
            each_second()
        await asyncio.sleep(0.002)
    # The rate is over; the pending answers are awaited, but not part of it.
    load.ended = time.perf_counter()
    load.seconds = load.ended - started
    await asyncio.gather(*tasks)
    return load


async def measure(server: Server, seconds: float) -> dict[str, Any]:
    """The figures of all phases, with `seconds` of overload."""
    photo = min((ROOT / "examples" / "img_train").glob("*.jpg")).read_bytes()
    client = Client(server.port, photo)
    memory: list[int] = []
    await closed_loop(client, 4, 3)
    alone = await closed_loop(client, 1, 3)
    single_ms = quantiles(alone.accepted_ms)["p50"]
    capacity = await closed_loop(client, CAPACITY_CLIENTS, MEASURE_S)
    rate = len(capacity.accepted_ms) / capacity.seconds
    at_its_rate = await open_loop(client, rate, MEASURE_S, lambda: None)
    overload = await open_loop(client, TIMES * rate, seconds, lambda: memory.append(memory_kib(processes(server.pid))))
    recovery_s = None
    while recovery_s is None and time.perf_counter() - overload.ended < 30:
        if 0 < await client.send(Load()) <= RECOVERED * single_ms:
            recovery_s = round(time.perf_counter() - overload.ended, 2)
    third = max(1, len(memory) // 3)
    growth = statistics.median(memory[-third:]) / statistics.median(memory[:third])
    ratio = overload.as_dict()["accepted_ms"]["p99"] / capacity.as_dict()["accepted_ms"]["p99"]
    reached = {
        "accepted p99 under twice its value at capacity": ratio < MAX_P99_RATIO,
        "memory flat": growth < MAX_GROWTH,
        "full speed within 2 s": recovery_s is not None and recovery_s <= MAX_RECOVERY_S,
        "answers are 200 or 503": set(overload.statuses) <= {200, 503},
    }
    return {
        "single_ms": single_ms,
        "capacity": capacity.as_dict(),
        "at_the_rate_of_capacity": at_its_rate.as_dict(),
        "overload": overload.as_dict(),
        "seconds": seconds,
        "p99_ratio": round(ratio, 2),
        "memory_mib": {
            "first": round(memory[0] / 1024),
            "highest": round(max(memory) / 1024),
            "growth": round(growth, 3),
            "each_half_minute": [round(kib / 1024) for kib in memory[::30]],
        },
        "recovery_s": recovery_s,
        "reached": reached,
    }


PHASES = {
    "capacity": "{clients} clients, each sends its next when answered: capacity",
    "at_the_rate_of_capacity": "offered at that rate, answered or not",
    "overload": "offered at {times} times that rate, {seconds:g} s",
}


def table(result: dict[str, Any]) -> str:
    """The figures of a run as Markdown: a row for each phase, then a row for each goal."""
    lines = [
        "| load | offered a second | 200 a second | answers | 200, p50 / p99 ms | 503, p50 / p99 ms |",
        "|---|---|---|---|---|---|",
    ]
    for phase, name in PHASES.items():
        load = result[phase]
        cells = (
            name.format(clients=CAPACITY_CLIENTS, times=TIMES, seconds=result["seconds"]),
            f"{load['offered_a_second']:,.1f}",
            f"{load['accepted_a_second']:,.1f}",
            ", ".join(f"{status}: {times:,}" for status, times in load["statuses"].items()),
            *(
                f"{load[which]['p50']:,.0f} / {load[which]['p99']:,.0f}" if load[which] else ""
                for which in ("accepted_ms", "refused_ms")
            ),
        )
        lines.append(f"| {' | '.join(cells)} |")
    memory, recovery = result["memory_mib"], result["recovery_s"]
    back = "not within 30 s" if recovery is None else f"after {recovery:.2f} s"
    rows = (
        ("p99 of accepted requests under overload, relative to capacity", f"{result['p99_ratio']:.2f}", "under 2"),
        (
            "memory of all processes, last third of the overload relative to the first",
            f"{memory['growth']:.3f} ({memory['first']} MiB at first, {memory['highest']} at most)",
            f"under {MAX_GROWTH:g}",
        ),
        (f"a single request as fast as before ({result['single_ms']:.0f} ms)", back, f"within {MAX_RECOVERY_S:g} s"),
        ("answers other than 200 and 503", str(others(result["overload"]["statuses"])), "none"),
    )
    lines += ["", "| goal | measured | target |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def others(statuses: Mapping[str, int]) -> int:
    """The number of answers other than 200 and 503."""
    return sum(times for status, times in statuses.items() if status not in ("200", "503"))


def main() -> int:
    """Print the figures; 1 if a goal is not reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0, help="of overload")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--table", type=Path, help="measure nothing; print a file written by --out as Markdown")
    arguments = parser.parse_args()
    if arguments.table:
        print(table(json.loads(arguments.table.read_text(encoding="utf-8"))))
        return 0
    with serving() as server:
        result = asyncio.run(measure(server, arguments.seconds))
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if all(result["reached"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
