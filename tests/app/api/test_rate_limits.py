"""Limits per minute, the addresses that they count, and servers that count in one Redis."""

import asyncio
import logging
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.api import rate_limits
from app.api.rate_limits import Counters, MinuteLimit, address_of
from app.cli import main
from app.errors import TooManyRequests
from app.records.key_file import KeyFile, Role
from app.settings import CounterLocation
from tests.app.api.live_server import Start, wait_for


def test_a_limit_ends_with_its_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use() -> None:
        limit, begun = MinuteLimit(1, "requests"), time.time()
        await limit.check("a")
        await limit.count("a")
        with pytest.raises(TooManyRequests):
            await limit.check("a")
        with pytest.raises(TooManyRequests) as refused:
            await limit.count("a")
        await limit.count("b")
        monkeypatch.setattr(time, "time", lambda: begun + refused.value.retry_after_s + 0.5)
        await limit.count("a")

    asyncio.run(use())


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("10.1.2.3", 5), "10.1.2.3"),
        (("2001:db8:1:2:3:4:5:6", 5), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 5), "fe80::/64"),
        (("/run/caries.sock", 0), "/run/caries.sock"),
        (None, "unknown"),
    ],
)
def test_address(client: tuple[str, int] | None, address: str) -> None:
    assert address_of({"type": "http", "client": client}) == address


@contextmanager
def redis(port: int) -> Iterator[None]:
    """A Redis server that is ready."""
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def answers() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    try:
        wait_for(answers)
        yield
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def location() -> CounterLocation:
    """Where a Redis may be started."""
    pytest.importorskip("redis", reason="the extra redis is not installed")
    if shutil.which("redis-server") is None:
        pytest.skip("Redis is not installed: apt-get install redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return CounterLocation(f"redis://127.0.0.1:{probe.getsockname()[1]}/1")


def port_of(location: CounterLocation) -> int:
    return int(location.url.rpartition(":")[2].partition("/")[0])


@pytest.mark.slow
def test_servers_that_share_a_redis_count_together(
    start: Start, photo: bytes, tmp_path: Path, location: CounterLocation
) -> None:
    _, key = KeyFile(tmp_path / "keys.json").add("clinic", Role.DETECT)
    settings = {"keys": tmp_path / "keys.json", "rate_limits": location, "requests_per_minute": 20}
    headers = {"Authorization": f"Bearer {key}"}
    with redis(port_of(location)), start(**settings) as one, start(**settings) as two:
        for live in (one, two) * 10:
            assert live.client.post("/detect", content=photo, headers=headers).status_code == 200
        for live in (one, two):
            refused = live.client.post("/detect", content=photo, headers=headers)
            assert refused.status_code == 429
            assert 0 < int(refused.headers["retry-after"]) <= 60
        # Wrong keys have their own count, even where its limit is the same.
        wrong = {"Authorization": f"Bearer caries_00000000_{'0' * 64}"}
        statuses = [live.client.get("/models", headers=wrong).status_code for live in (one, two) * 11]
        assert statuses == [401] * 20 + [429] * 2


@pytest.mark.slow
def test_without_its_redis_a_server_counts_alone(
    location: CounterLocation, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "RETRY_S", 0.2)

    async def use() -> None:
        one, two = (MinuteLimit(2, "requests", Counters(location)) for _ in range(2))
        with redis(port_of(location)):
            await one.count("a", times=2)
            with pytest.raises(TooManyRequests):
                await two.count("a")
        for limit in (one, two):
            await limit.count("a", times=2)
            with pytest.raises(TooManyRequests):
                await limit.check("a")
        assert caplog.messages[0].startswith(f"{location} cannot be reached; this server counts requests alone: ")
        with redis(port_of(location)):
            await asyncio.sleep(0.3)
            await one.count("a", times=2)
            with pytest.raises(TooManyRequests):
                await two.check("a")

    with caplog.at_level(logging.WARNING):
        asyncio.run(use())


@pytest.mark.slow
def test_a_redis_that_does_not_answer_costs_at_most_two_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redis", reason="the extra redis is not installed")
    monkeypatch.setattr(rate_limits, "REDIS_S", 0.1)

    async def use(port: int) -> None:
        limit, begun = MinuteLimit(50, "requests", Counters(CounterLocation(f"redis://127.0.0.1:{port}"))), time.time()
        for _ in range(50):
            await limit.count("a")
        assert time.time() - begun < 2

    with socket.create_server(("127.0.0.1", 0)) as silent:
        asyncio.run(use(silent.getsockname()[1]))


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("app.api.rate_limits.find_spec", lambda name: None)
    assert main(["serve", "--port", "0", "--rate-limits", "redis://127.0.0.1"]) == 2
    assert "CARIES_RATE_LIMITS needs redis, not installed here; run: pip install 'caries-screen[redis]'" in (
        capsys.readouterr().err
    )
