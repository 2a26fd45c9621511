"""A simulation of replicas behind a balancer, and its fit to what was measured.

A photo goes to the replica with the fewest in hand. A replica works on up to `at_a_time` photos, which share its cores
equally; further ones wait in the order of their arrival (limited processor sharing). With one photo at a time for each
core, this is a queue with c servers, first come first served (M/G/c for random arrivals).
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

MAX_AT_A_TIME = 4
"""CARIES_PHOTOS_OPEN of one core."""


@dataclass(frozen=True, slots=True)
class Model:
    """One core, as measured.

    Attributes:
        work_s: seconds of the core that photos take; drawn from at random.
        latency_s: seconds of each answer in which the core is free.
        at_a_time: photos that a core works on at the same time.
    """

    work_s: tuple[float, ...]
    latency_s: float
    at_a_time: int

    def responses_s(
        self, arrivals: Sequence[float], replicas: int, *, cores: int = 1, speed: float = 1.0, seed: int = 0
    ) -> list[float]:
        """Simulated seconds until the answer of each photo.

        Args:
            arrivals: seconds, ascending.
            replicas: behind the balancer.
            cores: of each replica.
            speed: of each core, relative to the one measured.
            seed: of the draws.
        """
        chosen = random.Random(seed).choices(self.work_s, k=len(arrivals))
        work = [seconds / speed for seconds in chosen]
        spent = simulate(arrivals, work, replicas, cores=cores, at_a_time=self.at_a_time * cores)
        return [seconds + self.latency_s for seconds in spent]


@dataclass(slots=True)
class _Replica:
    cores: int
    at_a_time: int
    now: float = 0.0
    last_used: int = 0
    version: int = 0
    active: dict[int, float] = field(default_factory=dict)
    """Photos and the work left on them, seconds."""
    waiting: deque[tuple[int, float]] = field(default_factory=deque)

    def speed(self) -> float:
        return min(1.0, self.cores / len(self.active))

    def advance(self, now: float) -> None:
        if self.active:
            done = (now - self.now) * self.speed()
            for photo in self.active:
                self.active[photo] -= done
        self.now = now

    def take(self, photo: int, work: float) -> None:
        if len(self.active) < self.at_a_time:
            self.active[photo] = work
        else:
            self.waiting.append((photo, work))

    def finish(self) -> int:
        photo = min(self.active, key=self.active.__getitem__)
        del self.active[photo]
        if self.waiting:
            self.take(*self.waiting.popleft())
        return photo

    def next_end(self) -> float:
        return self.now + max(0.0, min(self.active.values())) / self.speed()


def simulate(
    arrivals: Sequence[float], work_s: Sequence[float], replicas: int, *, cores: int, at_a_time: int
) -> list[float]:
    """Seconds from arrival to end of each photo, for ascending arrivals."""
    fleet = [_Replica(cores, at_a_time) for _ in range(replicas)]
    ends: list[tuple[float, int, int]] = []  # time, replica, version; of the newest version only
    spent = [0.0] * len(arrivals)
    turn = itertools.count(1)

    def schedule(number: int) -> None:
        replica = fleet[number]
        replica.version += 1
        if replica.active:
            heapq.heappush(ends, (replica.next_end(), number, replica.version))

    def run_until(time: float) -> None:
        while ends and ends[0][0] <= time:
            now, number, version = heapq.heappop(ends)
            replica = fleet[number]
            if version == replica.version:
                replica.advance(now)
                photo = replica.finish()
                spent[photo] = now - arrivals[photo]
                schedule(number)

    for photo, (arrival, work) in enumerate(zip(arrivals, work_s, strict=True)):
        run_until(arrival)
        number = min(
            range(replicas), key=lambda at: (len(fleet[at].active) + len(fleet[at].waiting), fleet[at].last_used)
        )
        fleet[number].last_used = next(turn)
        fleet[number].advance(arrival)
        fleet[number].take(photo, work)
        schedule(number)
    run_until(math.inf)
    return spent


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Random arrivals at `rate` a second: ascending times."""
    chosen = random.Random(seed)
    times = itertools.accumulate(chosen.expovariate(rate) for _ in itertools.count())
    return list(itertools.takewhile(lambda time: time < seconds, times))


def p95(values: Sequence[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(values, n=20)[18]


def fit(
    alone_s: Sequence[float], capacity: float, loads: Iterable[tuple[Sequence[float], Sequence[float]]] = ()
) -> Model:
    """The model of one replica.

    Args:
        alone_s: seconds until the answer of photos that were alone.
        capacity: photos a second of the replica when it is never idle.
        loads: arrivals and the measured seconds until their answers; without any, photos share nothing.
    """
    mean, busy = statistics.fmean(alone_s), 1 / capacity
    latency = max(0.0, mean - busy)
    floor = 0.05 * busy
    raw = [max(floor, seconds - latency) for seconds in alone_s]
    scale = busy / statistics.fmean(raw)
    work = tuple(seconds * scale for seconds in raw)
    known = list(loads)

    def error(model: Model) -> float:
        return sum(
            math.log(simulated / found) ** 2
            for arrivals, measured in known
            for simulated, found in zip(
                statistics.quantiles(model.responses_s(arrivals, 1), n=20)[9:],
                statistics.quantiles(measured, n=20)[9:],
                strict=True,
            )
        )

    return min((Model(work, latency, at_a_time) for at_a_time in range(1, MAX_AT_A_TIME + 1)), key=error)


def rescaled(model: Model, capacity: float) -> Model:
    """The same model for cores of another capacity, such as when the load takes part of them."""
    factor = 1 / capacity / statistics.fmean(model.work_s)
    return Model(tuple(seconds * factor for seconds in model.work_s), model.latency_s, model.at_a_time)
