"""Machines and money for a rate of photos. All of it is simulated from what was measured on one core."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.scale.queueing import Model, p95, poisson

MAX_USE = 0.8
"""Share of the processors, and of the balancer's network, that a plan uses: rates vary within a day."""

SIMULATED_PHOTOS = 20_000
SPARE = 1
"""Machines beyond those needed, so that one may fail or be updated."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What `measure` found.

    Attributes:
        model: one core.
        balancer_per_s: photos a second for each core of HAProxy.
        photo_bytes: mean size of the photos.
    """

    model: Model
    balancer_per_s: float
    photo_bytes: float

    @classmethod
    def from_dict(cls, figures: Mapping[str, Any]) -> Measured:
        """From its JSON."""
        work = tuple(milliseconds / 1000 for milliseconds in figures["work_ms"])
        model = Model(work, figures["latency_ms"] / 1000, figures["at_a_time"])
        return cls(model, figures["balancer"]["calculated_per_s_and_core"], figures["photo_bytes"])


@dataclass(frozen=True, slots=True)
class Instance:
    """A machine that can be rented.

    Attributes:
        name: of the type.
        vcpus: of one.
        price: of one hour, in any currency.
        speed: of a vCPU, relative to the core that was measured.
    """

    name: str
    vcpus: int
    price: float
    speed: float = 1.0


def plan(
    measured: Measured, instance: Instance, *, rate: float, p95_s: float, photo_bytes: float, gbit: float
) -> dict[str, Any]:
    """The machines for `rate` photos a second.

    Args:
        measured: see there.
        instance: what each machine is.
        rate: photos a second, at random times.
        p95_s: goal, seconds.
        photo_bytes: mean size of a photo.
        gbit: network of one balancer, Gbit/s.

    Raises:
        ValueError: no number of machines reaches the goal.
    """
    arrivals = poisson(rate, SIMULATED_PHOTOS / rate, seed=0)

    def simulated_s(machines: int) -> float:
        spent = measured.model.responses_s(arrivals, machines, cores=instance.vcpus, speed=instance.speed)
        return p95(spent[len(spent) // 10 :])

    busy = rate * statistics.fmean(measured.model.work_s) / instance.speed / instance.vcpus
    machines = math.ceil(busy / MAX_USE)
    if simulated_s(10 * machines) > p95_s:
        raise ValueError(f"a p95 of {p95_s * 1000:g} ms is less than a photo takes on an idle machine")
    while (reached_s := simulated_s(machines)) > p95_s:
        machines += max(1, machines // 20)
    paid = machines + SPARE
    bits = rate * photo_bytes * 8
    cores = rate / (measured.balancer_per_s * MAX_USE)
    return {
        "simulated": True,
        "photos_per_s": rate,
        "instance": f"{instance.name}: {instance.vcpus} vCPUs, {instance.price:g} an hour",
        "machines": paid,
        "machines_spare": SPARE,
        "p95_ms": round(reached_s * 1000),
        "use": round(busy / machines, 2),
        "money_per_hour": round(paid * instance.price, 2),
        "money_per_million_photos": round(paid * instance.price / (rate * 3600) * 1e6, 2),
        "balancer_cores": round(cores, 2),
        "balancer_gbit_per_s": round(bits / 1e9, 2),
        "balancers": math.ceil(bits / (gbit * 1e9 * MAX_USE)),
        "balancer_saturates_at_per_s": {
            "one core": round(measured.balancer_per_s),
            "network": round(gbit * 1e9 / 8 / photo_bytes),
        },
    }
