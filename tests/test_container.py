"""The container as a clinic runs it, by its compose file; needs a Docker engine."""

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
import uuid
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[1]
BASE = "python:3.11-slim"
ADDED = 220 * 10**6
"""Bytes on top of the base image, whose official build has about 130 MB: 350 MB in all."""


def run(*command: str, timeout: float = 900, check: bool = True, **options) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)
    assert not check or result.returncode == 0, (command, result.stdout[-1000:], result.stderr[-2000:])
    return result.stdout.strip()


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def engine() -> None:
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        pytest.skip("there is no Docker engine")


@pytest.fixture(scope="module")
def compose() -> list[str]:
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and subprocess.run([*command, "version"], capture_output=True).returncode == 0:
            return command
    pytest.skip("there is no docker compose")


class Container:
    """The running service, its address and the key that its log showed."""

    def __init__(self, compose: list[str], project: str, port: int, environment: dict[str, str]) -> None:
        self._command = [*compose, "--project-name", project]
        self._environment = environment
        self.port = port
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)

    def compose(self, *arguments: str, check: bool = True) -> str:
        return run(*self._command, *arguments, cwd=ROOT, env=self._environment, check=check)

    @property
    def id(self) -> str:
        return self.compose("ps", "--quiet", "caries")

    def inspect(self, template: str) -> str:
        return run("docker", "inspect", "--format", template, self.id)

    def is_ready(self) -> bool:
        try:
            return self.client.get("/health/ready").status_code == 200
        except httpx.HTTPError:
            return False


@pytest.fixture(scope="module")
def container(engine, compose):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    project = f"caries-test-{uuid.uuid4().hex[:8]}"
    environment = {**os.environ, "CARIES_PUBLISH": str(port), "CARIES_BUILD_NETWORK": "host"}
    started = Container(compose, project, port, environment)
    try:
        started.compose("build", "--quiet", "caries")
        started.compose("up", "--detach", "caries")
        wait_for(started.is_ready)
        keys = re.findall(r"caries_[A-Za-z0-9]+_[A-Za-z0-9_-]+", started.compose("logs", "--no-color", "caries"))
        assert len(keys) == 1, "the first key is shown once"
        started.client.headers["Authorization"] = f"Bearer {keys[0]}"
        yield started
    finally:
        started.client.close()
        started.compose("down", "--volumes", "--timeout", "5", check=False)


def test_it_screens_a_photo_with_the_key_and_not_without(container, example_photos, shipped_bundle) -> None:
    photo = example_photos[0].read_bytes()
    answer = container.client.post("/detect", content=photo, headers={"Accept": "application/json"})
    assert answer.json()["verdict"] == "caries_suspected"
    assert answer.json()["model"]["sha256"] == shipped_bundle.sha256
    assert container.client.post("/detect", content=photo).headers["content-type"] == "image/png"
    assert httpx.post(f"{container.client.base_url}/detect", content=photo, timeout=60).status_code == 401


def test_it_reports_its_health(container) -> None:
    command = json.loads(container.inspect("{{json .Config.Healthcheck.Test}}"))
    run("docker", "exec", container.id, *command[1:])


def test_it_runs_without_privileges(container) -> None:
    status = run("docker", "exec", container.id, "cat", "/proc/1/status")
    assert re.search(r"^Uid:\s+10001\s+10001", status, re.MULTILINE)
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    assert int(container.inspect("{{.HostConfig.Memory}}")) == 2 * 2**30
    assert json.loads(container.inspect("{{json .NetworkSettings.Ports}}"))["8000/tcp"][0]["HostIp"] == "127.0.0.1"


def test_it_writes_to_its_volume_alone(container, example_photos) -> None:
    for photo in example_photos:
        assert container.client.post("/detect", content=photo.read_bytes()).status_code == 200
    assert container.inspect("{{.HostConfig.ReadonlyRootfs}}") == "true"
    # What was written over the image's files: nothing but the places where volumes are mounted.
    assert run("docker", "diff", container.id) in ("", "C /var\nC /var/lib\nC /var/lib/caries")
    assert run("docker", "exec", container.id, "ls", "-A", "/tmp") == ""
    written = run("docker", "exec", container.id, "find", "/var/lib/caries", "-type", "f", "-printf", "%P %m\n")
    assert {line.split()[0].split("/")[0] for line in written.splitlines()} == {"keys.json", "audit"}
    assert {line.split()[1] for line in written.splitlines()} == {"600"}


def test_its_audit_log_holds_every_request(container, example_photos) -> None:
    answer = container.client.post("/detect", content=example_photos[0].read_bytes())
    log = run("docker", "exec", container.id, "sh", "-c", "cat /var/lib/caries/audit/audit-*")
    last = json.loads(log.splitlines()[-1])
    assert (last["request"], last["key"], last["status"]) == (answer.headers["X-Request-Id"], "admin", 200)
    assert "unbroken" in run("docker", "exec", container.id, "/opt/caries/bin/caries", "audit", "verify")


def test_the_image_is_small_and_says_what_is_in_it(container) -> None:
    image = container.inspect("{{.Image}}")
    size, base = (int(run("docker", "image", "inspect", "--format", "{{.Size}}", name)) for name in (image, BASE))
    assert size - base <= ADDED
    bill = json.loads(run("docker", "exec", container.id, "cat", "/opt/caries/sbom.cdx.json"))
    names = {component["name"] for component in bill["components"]}
    assert bill["bomFormat"] == "CycloneDX"
    assert {"fastapi", "numpy", "ai-edge-litert"} <= names
    assert not {"tensorflow", "pip", "setuptools"} & names
    labels = json.loads(run("docker", "image", "inspect", "--format", "{{json .Config.Labels}}", image))
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_the_same_sources_give_the_same_files(container) -> None:
    again = f"caries-again-{uuid.uuid4().hex[:8]}"
    listing = ["--entrypoint", "/bin/sh", "--rm"]
    command = "find /opt/caries /srv ! -type d -printf '%p %m %T@\\n' -type f -exec sha256sum {} + | sort"
    try:
        run("docker", "build", "--no-cache", "--network=host", "--quiet", "--target", "cpu", "--tag", again, str(ROOT))
        images = (container.inspect("{{.Image}}"), again)
        first, second = (run("docker", "run", *listing, image, "-c", command).splitlines() for image in images)
    finally:
        run("docker", "image", "rm", again, check=False)
    assert len(first) > 1000
    # Files of the repository have the time of their checkout; what the build makes has SOURCE_DATE_EPOCH's.
    assert [line for line in first if "/srv/" not in line] == [line for line in second if "/srv/" not in line]


def test_it_comes_back_after_it_was_killed_with_the_same_key(container, example_photos) -> None:
    restarts = int(container.inspect("{{.RestartCount}}"))
    # The engine takes a death by its own `docker kill` for a wish, so the process itself is killed.
    os_pid = container.inspect("{{.State.Pid}}")
    run("kill", "-9", os_pid)
    wait_for(lambda: int(container.inspect("{{.RestartCount}}")) > restarts)
    wait_for(container.is_ready)
    assert container.client.post("/detect", content=example_photos[0].read_bytes()).status_code == 200
    shown = re.findall(r"caries_[A-Za-z0-9]+_[A-Za-z0-9_-]+", container.compose("logs", "--no-color", "caries"))
    assert len(shown) == 1, "the key is not shown again"


def test_the_offline_kit_installs_without_a_network(container, compose, tmp_path, example_photos) -> None:
    run("sh", str(ROOT / "deploy" / "offline-kit.sh"), str(tmp_path / "kit"))
    archive = tmp_path / "kit" / "caries-screen-offline.tar"
    sum_of_archive = (tmp_path / "kit" / "caries-screen-offline.tar.sha256").read_text().split()[0]
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == sum_of_archive
    run("tar", "--extract", "--file", str(archive), "--directory", str(tmp_path))
    folder = tmp_path / "caries-screen-offline"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "caries-screen.tar", "docker-compose.yml", "install.sh", "LICENSE", "README.md", "README.ko.md", "SHA256SUMS",
        "deploy",
    }  # fmt: skip
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "CARIES_PUBLISH": str(port),
        "COMPOSE_PROJECT_NAME": f"caries-kit-{uuid.uuid4().hex[:8]}",
        # Every attempt to reach anything but this machine fails.
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"),
        "NO_PROXY": "127.0.0.1,localhost",
    }
    # In a network of its own that leads nowhere; Docker's engine is reached through its socket.
    nowhere = ["unshare", "--net"] if os.geteuid() == 0 and shutil.which("unshare") else []
    try:
        said = run(*nowhere, "sh", str(folder / "install.sh"), env=environment)
        key = re.findall(r"caries_[A-Za-z0-9]+_[A-Za-z0-9_-]+", said)[0]
        headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}

        def is_ready() -> bool:
            try:
                return httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
            except httpx.HTTPError:
                return False

        wait_for(is_ready)
        photo = example_photos[0].read_bytes()
        answer = httpx.post(f"http://127.0.0.1:{port}/detect", content=photo, headers=headers, timeout=60)
        assert answer.json()["verdict"] == "caries_suspected"
    finally:
        run(*compose, "down", "--volumes", "--timeout", "5", cwd=folder, env=environment, check=False)

    (folder / "README.md").write_text("altered")
    refused = subprocess.run(["sh", str(folder / "install.sh")], capture_output=True, text=True, env=environment)
    assert refused.returncode == 1
    assert "a file is damaged" in refused.stderr
