"""The guarantees of the compose file for every service, without a Docker engine."""

from pathlib import Path
from typing import Any

import pytest
import yaml

COMPOSE = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text(encoding="utf-8"))
OURS = ("caries", "caries-gpu", "replica-1", "replica-2", "haproxy", "tls")
PROFILES = {
    "caries": None,
    "caries-gpu": ["gpu"],
    "replica-1": ["replicas"],
    "replica-2": ["replicas"],
    "haproxy": ["replicas"],
    "tls": ["tls"],
    "prometheus": ["monitoring"],
    "grafana": ["monitoring"],
}


@pytest.fixture(params=PROFILES)
def service(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return request.param, COMPOSE["services"][request.param]


def test_only_the_server_starts_by_default() -> None:
    assert {name: service.get("profiles") for name, service in COMPOSE["services"].items()} == PROFILES


def test_every_service_is_limited_and_unprivileged(service: tuple[str, dict[str, Any]]) -> None:
    name, options = service
    assert options["cap_drop"] == ["ALL"]
    assert options["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "cpus"} <= set(options)
    assert options["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert options["restart"] == "unless-stopped"
    if name in OURS:
        assert options["read_only"] is True
        assert options["tmpfs"] == ["/tmp:size=64m,noexec,nosuid,nodev"]
        assert options["pids_limit"] <= 256


def test_only_the_proxy_is_open_to_the_network(service: tuple[str, dict[str, Any]]) -> None:
    name, options = service
    for port in options.get("ports", []):
        assert port.startswith("127.0.0.1:") == (name != "tls"), port


def test_the_gpu_is_reserved_and_photos_never_swapped() -> None:
    (device,) = COMPOSE["services"]["caries-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    for name in ("caries", "caries-gpu"):
        assert COMPOSE["services"][name]["memswap_limit"] == COMPOSE["services"][name]["mem_limit"]
