"""The simulation against exact results of queueing theory, and its fit."""

import math
import random
import statistics

import pytest

from benchmarks.scale.queueing import Model, fit, p95, poisson, rescaled, simulate

SERVICE_S = 0.05
ARRIVALS = 40_000


def erlang_c(servers: int, load: float) -> float:
    """The probability of waiting in M/M/c, for a load of `load` busy servers (Erlang 1917)."""
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    return servers * blocked / (servers - load * (1 - blocked))


def simulated(rate: float, *, cores: int, at_a_time: int, exponential: bool = True) -> list[float]:
    arrivals = poisson(rate, ARRIVALS / rate, seed=1)
    chosen = random.Random(2)
    work = [chosen.expovariate(1 / SERVICE_S) if exponential else SERVICE_S for _ in arrivals]
    return simulate(arrivals, work, 1, cores=cores, at_a_time=at_a_time)[1000:]


@pytest.mark.parametrize("use", [0.3, 0.7])
def test_one_server_is_m_m_1(use: float) -> None:
    spent = simulated(use / SERVICE_S, cores=1, at_a_time=1)
    mean = SERVICE_S / (1 - use)
    assert statistics.fmean(spent) == pytest.approx(mean, rel=0.08)
    assert p95(spent) == pytest.approx(-math.log(0.05) * mean, rel=0.08)


@pytest.mark.parametrize(("servers", "use"), [(2, 0.7), (4, 0.8)])
def test_several_servers_are_m_m_c(servers: int, use: float) -> None:
    spent = simulated(servers * use / SERVICE_S, cores=servers, at_a_time=servers)
    waiting = erlang_c(servers, servers * use) * SERVICE_S / (servers * (1 - use))
    assert statistics.fmean(spent) == pytest.approx(SERVICE_S + waiting, rel=0.05)


def test_erlang_c_itself() -> None:
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)


def test_equal_photos_are_m_d_1() -> None:
    """Pollaczek and Khinchine: half the waiting of M/M/1."""
    use = 0.7
    spent = simulated(use / SERVICE_S, cores=1, at_a_time=1, exponential=False)
    assert statistics.fmean(spent) == pytest.approx(SERVICE_S * (1 + use / (2 * (1 - use))), rel=0.05)


def test_shared_without_bound_the_mean_does_not_depend_on_the_work() -> None:
    """Processor sharing, M/G/1-PS: the mean is that of M/M/1 for any work of the same mean."""
    for exponential in (True, False):
        spent = simulated(0.6 / SERVICE_S, cores=1, at_a_time=10**6, exponential=exponential)
        assert statistics.fmean(spent) == pytest.approx(SERVICE_S / 0.4, rel=0.07)


def test_photos_go_to_the_replica_with_the_fewest() -> None:
    spent = simulate([0.0, 0.0, 0.2, 0.25], [1.0, 0.15, 0.2, 0.1], 2, cores=1, at_a_time=1)
    assert spent == pytest.approx([1.0, 0.15, 0.2, 0.85]), "of two that have as many, the one that waited longer"


def test_the_fewest_in_hand_is_better_than_chance() -> None:
    """Two replicas that share their arrivals are faster than each alone at half the rate."""
    rate = 0.7 / SERVICE_S
    arrivals, chosen = poisson(2 * rate, 2000, seed=1), random.Random(2)
    work = [chosen.expovariate(1 / SERVICE_S) for _ in arrivals]
    shared = statistics.fmean(simulate(arrivals, work, 2, cores=1, at_a_time=1))
    exact = SERVICE_S + erlang_c(2, 1.4) * SERVICE_S / (2 * 0.3)
    assert exact < shared < SERVICE_S / 0.3


@pytest.mark.parametrize("at_a_time", [1, 2, 4])
def test_the_fit_finds_what_produced_the_loads(at_a_time: int) -> None:
    chosen = random.Random(3)
    truth = Model(tuple(chosen.uniform(0.03, 0.07) for _ in range(300)), 0.004, at_a_time)
    alone = [seconds + truth.latency_s for seconds in truth.work_s]
    capacity = 1 / statistics.fmean(truth.work_s)
    loads = []
    for use in (0.4, 0.75):
        arrivals = poisson(use * capacity, 300, seed=4)
        loads.append((arrivals, truth.responses_s(arrivals, 1, seed=9)))
    found = fit(alone, capacity, loads)
    assert found.at_a_time == at_a_time
    assert found.latency_s == pytest.approx(0.004)
    arrivals = poisson(1.2 * capacity, 300, seed=5)
    predicted, true = (p95(model.responses_s(arrivals, 2, seed=seed)) for seed, model in ((0, found), (8, truth)))
    assert predicted == pytest.approx(true, rel=0.2)


def test_a_slower_core_takes_more_work() -> None:
    model = Model((0.05, 0.07), 0.01, 2)
    assert rescaled(model, 1 / 0.12).work_s == pytest.approx((0.1, 0.14))
    assert p95(model.responses_s([0.0, 1.0, 2.0], 1, speed=0.5)) > p95(model.responses_s([0.0, 1.0, 2.0], 1))


def test_more_work_than_capacity_is_scaled_to_it() -> None:
    """The load of several clients may cost more than a photo alone."""
    model = fit([0.05] * 10, 15)
    assert model.latency_s == 0
    assert statistics.fmean(model.work_s) == pytest.approx(1 / 15)
