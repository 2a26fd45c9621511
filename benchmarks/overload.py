"""Offers a real server ten times what it can do, and looks at those that it accepts, at its memory, and at what
follows.

    python -m benchmarks.overload --seconds 300 --out overload.json
    python -m benchmarks.overload --table overload.json              its figures as docs/reliability.md shows them

First as many clients as the server has places, each of which sends its next photo when the last one was answered: that
is its capacity, all that it can hold with nobody refused. Then requests are offered at that rate, and then at ten times
that rate, whether or not earlier ones were answered; then single requests until they are as fast as before. The load
comes from this process; the server, with the settings that it is shipped with, runs in others on the same processor.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.settings import Settings
from benchmarks.fuzz import request, serving
from benchmarks.process_tree import memory_kib, processes

PHOTO = Path(__file__).parents[1] / "examples" / "img_train"
TIMES = 10
PLACES = Settings().photos_open + Settings().queue
MEASURE_S = 20.0
RECOVERED = 1.5
"""A single request is as fast as before when it takes at most this much of its median before the load."""

MAX_P99_RATIO, MAX_RECOVERY_S, MAX_GROWTH = 2.0, 2.0, 1.05


@dataclass(slots=True)
class Load:
    """What became of the requests of a phase.

    Attributes:
        statuses: how many were answered how; 0 where the connection failed.
        accepted_ms: milliseconds of each that was answered 200.
        refused_ms: of each that was answered 503.
        seconds: that the phase took.
        ended: when the last request was sent, on the clock of `time.perf_counter`.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    accepted_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    ended: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "statuses": {str(status): times for status, times in sorted(self.statuses.items())},
            "accepted_a_second": round(len(self.accepted_ms) / self.seconds, 1),
            "offered_a_second": round(sum(self.statuses.values()) / self.seconds, 1),
            "accepted_ms": quantiles(self.accepted_ms),
            "refused_ms": quantiles(self.refused_ms),
        }


def quantiles(milliseconds: list[float]) -> dict[str, float]:
    """Median and 99 %; empty for less than two values."""
    if len(milliseconds) < 2:
        return {}
    cuts = statistics.quantiles(milliseconds, n=100)
    return {"p50": round(cuts[49], 1), "p99": round(cuts[98], 1)}


class Client:
    """Sends one request after another, on connections that are used again where the server allows it."""

    def __init__(self, port: int, photo: bytes) -> None:
        self._port = port
        self._raw = request(photo, headers={"Content-Type": "image/jpeg"})
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, load: Load) -> float:
        """Sends the photo, notes the answer, and returns the milliseconds that it took."""
        started, kept = time.perf_counter(), bool(self._idle)
        try:
            reader, writer = self._idle.pop() if kept else await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(self._raw)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError, ValueError):
            if kept:  # the server had closed it meanwhile, as it may
                self._idle.clear()
                return await self.send(load)
            load.statuses[0] += 1
            return 0.0
        taken = (time.perf_counter() - started) * 1000
        status = int(head.split(b" ", 2)[1])
        load.statuses[status] += 1
        if status in (200, 503):
            (load.accepted_ms if status == 200 else load.refused_ms).append(taken)
        if b"connection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer))
        return taken


async def closed_loop(client: Client, clients: int, seconds: float) -> Load:
    """Each of `clients` sends its next photo when the last one was answered."""
    load, started = Load(), time.perf_counter()

    async def one() -> None:
        while time.perf_counter() - started < seconds:
            await client.send(load)

    await asyncio.gather(*(one() for _ in range(clients)))
    load.seconds = time.perf_counter() - started
    return load


async def open_loop(client: Client, rate: float, seconds: float, each_second: Callable[[], None]) -> Load:
    """`rate` requests a second, whatever becomes of the earlier ones."""
    load, started, sent, tasks = Load(), time.perf_counter(), 0, set()
    looked = 0
    while (now := time.perf_counter() - started) < seconds:
        while sent < now * rate:
            task = asyncio.create_task(client.send(load))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        if int(now) > looked:
            looked = int(now)
            each_second()
        await asyncio.sleep(0.002)
    # The rate ends here; those still being answered are waited for.
    load.ended = time.perf_counter()
    load.seconds = load.ended - started
    await asyncio.gather(*tasks)
    return load


async def measure(port: int, server: int, seconds: float) -> dict[str, Any]:
    """Runs all phases against the server with the process id `server`."""
    photo = sorted(PHOTO.glob("*.jpg"))[0].read_bytes()
    client, memory = Client(port, photo), []
    while True:
        probe = Load()
        await client.send(probe)
        if probe.statuses[200]:
            break
        await asyncio.sleep(0.1)
    await closed_loop(client, 4, 3)
    alone = await closed_loop(client, 1, 3)
    single_ms = quantiles(alone.accepted_ms)["p50"]
    capacity = await closed_loop(client, PLACES, MEASURE_S)
    rate = len(capacity.accepted_ms) / capacity.seconds
    at_its_rate = await open_loop(client, rate, MEASURE_S, lambda: None)
    overload = await open_loop(client, TIMES * rate, seconds, lambda: memory.append(memory_kib(processes(server))))
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
    "capacity": "{places} clients, each sends its next when answered: capacity",
    "at_the_rate_of_capacity": "offered at that rate, answered or not",
    "overload": "offered at {times} times that rate, {seconds:g} s",
}


def table(result: dict[str, Any]) -> str:
    """The figures of a run as Markdown: a row for each phase, then what the goals are about."""
    lines = [
        "| load | offered a second | 200 a second | answers | 200, p50 / p99 ms | 503, p50 / p99 ms |",
        "|---|---|---|---|---|---|",
    ]
    for phase, name in PHASES.items():
        load = result[phase]
        cells = (
            name.format(places=PLACES, times=TIMES, seconds=result["seconds"]),
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
        ("p99 of accepted requests under overload, of that at capacity", f"{result['p99_ratio']:.2f}", "under 2"),
        (
            "memory of all processes, last third of the overload to the first",
            f"{memory['growth']:.3f} ({memory['first']} MiB at first, {memory['highest']} at most)",
            f"under {MAX_GROWTH:g}",
        ),
        (f"a single request as fast as before ({result['single_ms']:.0f} ms)", back, f"within {MAX_RECOVERY_S:g} s"),
        ("answers other than 200 and 503", str(others(result["overload"]["statuses"])), "none"),
    )
    lines += ["", "| goal | measured | to be |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def others(statuses: Mapping[str, int]) -> int:
    """How many answers were neither 200 nor 503."""
    return sum(times for status, times in statuses.items() if status not in ("200", "503"))


def main() -> int:
    """Runs it; 1 if a goal is not reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0, help="of overload")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--table", type=Path, help="measure nothing; print what --out wrote as Markdown")
    arguments = parser.parse_args()
    if arguments.table:
        print(table(json.loads(arguments.table.read_text(encoding="utf-8"))))
        return 0
    with serving() as (port, process):
        result = asyncio.run(measure(port, process.pid, arguments.seconds))
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if all(result["reached"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
