"""The container as a clinic runs it; needs a Docker engine."""

import json
import shutil
import subprocess
import time
import uuid
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[1]


def docker(*arguments: str, timeout: float = 600) -> str:
    result = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout.strip()


@pytest.fixture(scope="module")
def address():
    """A running container of this working tree: read-only, without capabilities or a name server."""
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        pytest.skip("there is no Docker engine")
    name = f"caries-test-{uuid.uuid4().hex[:8]}"
    docker("build", "--quiet", "--network=host", "--tag", name, str(ROOT))
    try:
        options = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--dns", "127.0.0.1"]
        docker("run", "--detach", "--name", name, "--publish", "127.0.0.1::8000", *options, name)
        address = f"http://{docker('port', name, '8000').splitlines()[0]}"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{address}/health/ready").status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        yield address, name
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True)
        subprocess.run(["docker", "rmi", "--force", name], capture_output=True)


def test_it_screens_a_photo(address, example_photos, shipped_bundle) -> None:
    photo = example_photos[0].read_bytes()
    answer = httpx.post(f"{address[0]}/detect", content=photo, headers={"Accept": "application/json"}, timeout=60)
    assert answer.json()["verdict"] == "caries_suspected"
    assert answer.json()["model"]["sha256"] == shipped_bundle.sha256
    assert httpx.post(f"{address[0]}/detect", content=photo, timeout=60).headers["content-type"] == "image/png"


def test_it_reports_its_health(address) -> None:
    _, name = address
    command = json.loads(docker("inspect", "--format", "{{json .Config.Healthcheck.Test}}", name))
    docker("exec", name, *command[1:])


def test_it_runs_without_privileges_and_without_tensorflow(address) -> None:
    _, name = address
    assert docker("exec", name, "id", "-u") == "10001"
    installed = json.loads(docker("exec", name, "/opt/caries/bin/python", "-m", "pip", "list", "--format", "json"))
    assert "tensorflow" not in {package["name"] for package in installed}
