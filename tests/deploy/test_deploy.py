"""The scripts of `deploy/` without a Docker engine; `test_container.py` runs them with one."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SECRET = "caries_0123abcd_" + 64 * "f"
DOCKER = """#!/bin/sh
# A stand-in for the engine: writes the names of the images instead of saving them.
if [ "$1" = save ]; then shift 2; out=$1; shift; echo "$@" > "$out"; fi
"""
NGINX = """#!/bin/sh
echo "$@"
"""


def program(folder: Path, name: str, text: str) -> dict[str, str]:
    """An environment in which the program `name` is a script with this text."""
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return {**os.environ, "PATH": f"{path.parent}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked kit of a checkout that contains an operator's secrets."""
    folder = tmp_path_factory.mktemp("kit")
    checkout = folder / "checkout"
    for name in ("deploy", "docs", "benchmarks", "training"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (
        *("docker-compose.yml", "README.md", "README.ko.md", "LICENSE", "pyproject.toml"),
        *("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"),
    ):
        shutil.copy(ROOT / name, checkout / name)
    for place in ("orthanc/key", "monitoring/key", "monitoring/grafana/provisioning/key", "tls/key.pem"):
        (checkout / "deploy" / place).write_text(SECRET, encoding="utf-8")
    command = ["sh", str(checkout / "deploy" / "offline-kit.sh"), str(folder / "out")]
    subprocess.run(command, env=program(folder, "docker", DOCKER), check=True, capture_output=True)
    subprocess.run(["tar", "-xf", folder / "out" / "caries-screen-offline.tar", "-C", folder], check=True)
    return folder / "caries-screen-offline"


def test_the_kit_contains_no_secret(kit: Path) -> None:
    files = [path for path in kit.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_the_kit_contains_the_images_that_a_clinic_starts_and_the_files_that_it_mounts(kit: Path) -> None:
    services = yaml.safe_load((kit / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    saved = (kit / "caries-screen.tar").read_text(encoding="utf-8").split()
    started = ("caries", "tls", "caries-dicom", "gateway", "orthanc")
    assert saved == [services[name]["image"] for name in started]
    for name in ("tls", "haproxy", "orthanc"):
        context = services[name]["build"]["context"]
        copied = re.findall(r"^COPY (.+) \S+$", (kit / context / "Dockerfile").read_text(), flags=re.MULTILINE)
        assert all((kit / context / file).is_file() for files in copied for file in files.split())
    mounts = [mount.split(":")[0] for name in ("prometheus", "grafana") for mount in services[name]["volumes"]]
    mounted = [ROOT / mount for mount in mounts if mount.startswith("./")]
    files = [file for path in mounted for file in (path, *path.rglob("*")) if file.is_file()]
    assert len(files) >= 4
    for file in files:
        assert (kit / file.relative_to(ROOT)).read_bytes() == file.read_bytes()


def test_the_kit_contains_all_files_that_its_pages_link_to(kit: Path) -> None:
    pages = list(kit.rglob("*.md"))
    assert {page.relative_to(kit).as_posix() for page in pages} > {"README.md", "README.ko.md", "docs/operations.md"}
    for page in pages:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert link.startswith("https://") or (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.parametrize(("service", "key"), [("prometheus", "CARIES_METRICS_KEY"), ("gateway", "CARIES_GATEWAY_KEY")])
def test_git_ignores_the_keys(service: str, key: str) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    (mount,) = [volume for volume in compose["services"][service]["volumes"] if key in volume]
    path = mount.partition(":-")[2].partition("}")[0]
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    assert subprocess.run(["git", "-C", str(ROOT), "check-ignore", "--quiet", path], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("192.168.0.10", "ip"),
        ("2001:db8::10", "ip"),
        ("caries.clinic.example", "hostname"),
        ("10.clinic.example", "hostname"),
        ("", "hostname"),
    ],
)
def test_the_certificate_of_the_proxy_matches_the_name_of_the_server(tmp_path: Path, name: str, kind: str) -> None:
    script = (ROOT / "deploy" / "tls" / "start.sh").read_text(encoding="utf-8")
    # The folder is a volume of the container.
    script = script.replace("/etc/caries-tls", str(tmp_path))
    environment = {**program(tmp_path, "nginx", NGINX), "CARIES_TLS_NAME": name}
    done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "-c /opt/nginx.conf\n"
    assert "sha256 Fingerprint" in done.stderr
    certificate = tmp_path / "certificate.pem"
    for option, requested in ((f"-verify_{kind}", name or "localhost"), ("-verify_ip", "127.0.0.1")):
        command = ["openssl", "verify", "-CAfile", str(certificate), option, requested, str(certificate)]
        assert subprocess.run(command, check=False, capture_output=True).returncode == 0, requested
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600


def test_a_value_that_is_neither_name_nor_address_is_reported(tmp_path: Path) -> None:
    script = (
        (ROOT / "deploy" / "tls" / "start.sh").read_text(encoding="utf-8").replace("/etc/caries-tls", str(tmp_path))
    )
    environment = {**program(tmp_path, "nginx", NGINX), "CARIES_TLS_NAME": "caries.local:8443"}
    done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "CARIES_TLS_NAME is 'caries.local:8443': it must be a host name or an IP address" in done.stderr
    assert not list(tmp_path.glob("*.pem"))


def test_the_image_has_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^ARG VERSION=(.*)$", dockerfile, flags=re.MULTILINE) == [project["version"]]
