"""The guarantees of the compose file for every service, without a Docker engine."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings
from deploy.orthanc.start import configuration, modalities, password

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
OURS = ("caries", "caries-gpu", "replica-1", "replica-2", "haproxy", "caries-dicom", "gateway", "orthanc", "tls")
PROFILES = {
    "caries": None,
    "caries-gpu": ["gpu"],
    "replica-1": ["replicas"],
    "replica-2": ["replicas"],
    "haproxy": ["replicas"],
    "caries-dicom": ["pacs"],
    "gateway": ["pacs"],
    "orthanc": ["pacs"],
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
    for name in ("caries", "caries-gpu", "caries-dicom", "gateway"):
        assert COMPOSE["services"][name]["memswap_limit"] == COMPOSE["services"][name]["mem_limit"]


def test_the_gateway_the_archive_and_their_server_name_each_other() -> None:
    services = COMPOSE["services"]
    settings = {name: value for name, value in services["gateway"]["environment"].items() if "${" not in value}
    read = Settings.read(settings)
    config = json.loads((ROOT / "deploy" / "orthanc" / "orthanc.json").read_text(encoding="utf-8"))
    (archive,) = read.gateway_archives
    assert (archive.title, archive.host, archive.port) == (config["DicomAet"], "orthanc", config["DicomPort"])
    assert [peer.title for peer in read.gateway_peers] == [config["DicomAet"]]
    made = configuration(config, {}, "secret")
    assert made["DicomModalities"]["caries"] == [read.gateway_title, "gateway", read.gateway_port]
    assert read.gateway_server == "http://caries-dicom:8000"
    assert services["orthanc"]["depends_on"] == {"gateway": {"condition": "service_healthy"}}
    assert services["gateway"]["depends_on"] == ["caries-dicom"]


def test_the_gateways_http_is_published_and_scraped() -> None:
    (port,) = re.findall(r"CARIES_GATEWAY_WEB_PORT=(\d+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    (published,) = COMPOSE["services"]["gateway"]["ports"]
    assert published == f"127.0.0.1:${{CARIES_GATEWAY_PUBLISH:-{port}}}:{port}"
    config = yaml.safe_load((ROOT / "deploy" / "monitoring" / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = (job for job in config["scrape_configs"] if job["job_name"] == "caries-gateway")
    assert job["dns_sd_configs"] == [{"names": ["gateway"], "type": "A", "port": int(port)}]


def test_the_archive_starts_with_a_password_and_the_modalities_named(tmp_path: Path, capsys: Any) -> None:
    first = password(tmp_path / "password")
    assert first in capsys.readouterr().err
    assert password(tmp_path / "password") == first
    assert capsys.readouterr().err == ""
    assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600
    others = modalities("camera=CAM_1@10.0.0.7:104, other=X@host:11112")
    assert others == {"camera": ["CAM_1", "10.0.0.7", 104], "other": ["X", "host", 11112]}
    made = configuration({"DicomModalities": {"caries": ["CARIES", "127.0.0.1", 1]}}, others, first)
    assert made["RegisteredUsers"] == {"clinic": first}
    assert made["AuthenticationEnabled"]
    assert set(made["DicomModalities"]) == {"camera", "other", "caries"}
    with pytest.raises(SystemExit, match="'camera' is not NAME=TITLE@HOST:PORT"):
        modalities("camera")


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
def test_compose_accepts_the_file() -> None:
    command = ["docker-compose", "--profile", "pacs", "--file", str(ROOT / "docker-compose.yml"), "config"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert {"caries-dicom", "gateway", "orthanc"} <= set(yaml.safe_load(shown.stdout)["services"])
