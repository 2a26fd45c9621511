"""Replicas behind HAProxy: service times, capacity, and loads that the model must predict without having seen them."""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import subprocess
import sys
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from benchmarks.load import Connection, http_request
from benchmarks.process_tree import cpu_s, processes
from benchmarks.scale.fleet import Layout, QuotaError, balancer, fleet
from benchmarks.scale.queueing import Model, fit, p95, poisson, rescaled
from benchmarks.serving import ROOT, Server, free_port, wait_until_ready

LAYOUTS = (Layout(1), Layout(2), Layout(4, 0.5))
FITTED_USES, HELD_OUT_USES = (0.4, 0.75), (0.5, 0.65)
"""Offered loads as shares of the capacity; the model is fitted to the former, on one replica."""

HELD_OUT_ERROR = 0.2
"""Goal for the relative error of the p95 of a held-out load."""

CLIENTS_PER_REPLICA = 6
"""So that no replica is idle, and none refuses a photo."""

DRAWS = 5
"""Simulations of a load, of which the median counts."""

BACKEND = """
import asyncio, sys
import uvloop

class Answer(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.head, self.left = transport, b"", None

    def data_received(self, data):
        if self.left is None:
            self.head += data
            head, end, body = self.head.partition(b"\\r\\n\\r\\n")
            if not end:
                return
            length = head.lower().partition(b"content-length:")[2].split(b"\\r\\n")[0]
            self.left, data = int(length or 0), body
        self.left -= len(data)
        if self.left <= 0:
            self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
            self.head, self.left = b"", None

async def main():
    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()

uvloop.run(main())
"""
"""A server that reads a request and answers {}."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Of one load.

    Attributes:
        arrivals: seconds after its start at which photos were due to be sent, of those that were answered 200.
        responses_s: seconds from then until the answer, of the same.
        statuses: of all answers; 0 for none.
    """

    arrivals: list[float]
    responses_s: list[float]
    statuses: Counter[int]


def photo_requests(server: Server) -> list[bytes]:
    """Requests for JSON, one for each example photo."""
    target = urllib.parse.urlsplit(f"{server.url}/detect")
    headers = {"Content-Type": "image/jpeg", "Accept": "application/json"}
    photos = sorted((ROOT / "examples" / "img_train").glob("*.jpg"))
    return [http_request(target, headers, path.read_bytes()) for path in photos]


async def offer(server: Server, requests: Sequence[bytes], arrivals: Sequence[float]) -> Answers:
    """Send photos at these seconds, whether or not earlier ones are answered."""
    started = time.perf_counter()
    answers = Answers([], [], Counter())

    async def send(number: int, arrival: float) -> None:
        await asyncio.sleep(started + arrival - time.perf_counter())
        connection = Connection("127.0.0.1", server.port)
        status, _ = await connection.send(requests[number % len(requests)])
        connection.close()
        answers.statuses[status] += 1
        if status == 200:
            answers.arrivals.append(arrival)
            answers.responses_s.append(time.perf_counter() - started - arrival)

    await asyncio.gather(*(send(number, arrival) for number, arrival in enumerate(arrivals)))
    return answers


async def closed(server: Server, requests: Sequence[bytes], clients: int, seconds: float) -> tuple[list[float], float]:
    """Seconds until each answer, and answers a second, of clients that send their next photo when one is answered.

    Raises:
        RuntimeError: an answer is not 200.
    """
    taken: list[float] = []
    begun = time.perf_counter()

    async def client(first: int) -> None:
        number = first
        while (started := time.perf_counter()) < begun + seconds:
            connection = Connection("127.0.0.1", server.port)
            status, _ = await connection.send(requests[number % len(requests)])
            connection.close()
            if status != 200:
                raise RuntimeError(f"the balancer answered {status} to {clients} clients")
            taken.append(time.perf_counter() - started)
            number += 1

    await asyncio.gather(*(client(first) for first in range(clients)))
    return taken, len(taken) / (time.perf_counter() - begun)


@contextmanager
def off_core(core: int) -> Iterator[None]:
    """Keep this process and those it starts off a core, if there is another."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, allowed - {core} or allowed)
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def measure_layout(layout: Layout, seconds: float, precision: str, model: Model | None) -> tuple[dict[str, Any], Model]:
    """The figures of a layout and its model: fitted on the first layout, then rescaled to each layout's capacity."""
    with fleet(layout, "--precision", precision) as server:
        requests = photo_requests(server)
        asyncio.run(closed(server, requests, layout.replicas, 3))
        alone, _ = asyncio.run(closed(server, requests, 1, seconds / 3))
        _, capacity = asyncio.run(closed(server, requests, CLIENTS_PER_REPLICA * layout.replicas, seconds / 3))
        each = capacity / layout.replicas

        def load(use: float, seed: int) -> Answers:
            return asyncio.run(offer(server, requests, poisson(use * capacity, seconds, seed)))

        if model is None:
            loads = [load(use, seed) for seed, use in enumerate(FITTED_USES, 10)]
            found = fit(alone, each, [(answers.arrivals, answers.responses_s) for answers in loads])
        else:
            found = rescaled(model, each)
        held_out = []
        for seed, use in enumerate(HELD_OUT_USES, 20):
            answers = load(use, seed)
            held_out.append({"use": use, **compared(answers, found, layout.replicas)})
    figures = {
        "layout": layout.name,
        "alone_p50_ms": round(statistics.median(alone) * 1000, 1),
        "capacity_per_s": round(capacity, 2),
        "held_out": held_out,
    }
    return figures, found


def compared(answers: Answers, model: Model, replicas: int) -> dict[str, Any]:
    """The p95 of a load, measured and as simulated for the same arrivals."""
    order = sorted(range(len(answers.arrivals)), key=answers.arrivals.__getitem__)
    arrivals = [answers.arrivals[index] for index in order]
    measured = p95(answers.responses_s)
    simulated = statistics.median(p95(model.responses_s(arrivals, replicas, seed=seed)) for seed in range(DRAWS))
    return {
        "statuses": {str(status): times for status, times in sorted(answers.statuses.items())},
        "p95_ms": round(measured * 1000, 1),
        "simulated_p95_ms": round(simulated * 1000, 1),
        "error": round(simulated / measured - 1, 3),
    }


def measure_balancer(seconds: float) -> dict[str, float]:
    """HAProxy alone, in front of a server that does nothing: its processor time for a photo, and where that saturates.

    The load saturates before HAProxy does, so its limit is calculated from its processor time.
    """
    port = free_port()
    backend = subprocess.Popen([sys.executable, "-c", BACKEND, str(port)])
    try:
        wait_until_ready(Server(port, backend.pid), backend)
        with balancer([port]) as server:
            requests = photo_requests(server)
            asyncio.run(closed(server, requests, 8, 1))
            before = cpu_s(processes(server.pid))
            taken, rate = asyncio.run(closed(server, requests, 8, seconds))
            cpu = (cpu_s(processes(server.pid)) - before) / len(taken)
    finally:
        backend.terminate()
        backend.wait(30)
    return {
        "reached_per_s": round(rate),
        "cpu_ms_per_photo": round(cpu * 1000, 4),
        "calculated_per_s_and_core": round(1 / cpu),
        "p50_ms": round(statistics.median(taken) * 1000, 2),
    }


def measure(seconds: float, precision: str) -> dict[str, Any]:
    """All figures; `work_ms`, `latency_ms` and `at_a_time` are the model of one core."""
    requests = [path.stat().st_size for path in (ROOT / "examples" / "img_train").glob("*.jpg")]
    layouts, errors, skipped = [], [], {}
    model: Model | None = None
    for layout in LAYOUTS:
        try:
            with off_core(0) if layout.replicas == 1 else nullcontext():
                figures, found = measure_layout(layout, seconds, precision, model)
        except QuotaError as error:
            skipped[layout.name] = str(error)
            continue
        model = model or found
        layouts.append(figures)
        errors += [load["error"] for load in figures["held_out"]]
    assert model is not None
    return {
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "precision": precision,
        "seconds": seconds,
        "photo_bytes": round(statistics.fmean(requests)),
        "layouts": layouts,
        "skipped": skipped,
        "held_out_errors": errors,
        "balancer": measure_balancer(seconds / 3),
        "at_a_time": model.at_a_time,
        "latency_ms": round(model.latency_s * 1000, 3),
        "work_ms": [round(work * 1000, 3) for work in model.work_s],
    }
