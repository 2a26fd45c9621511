"""The stack of deploy/swarm: its file, and a real cluster of two engines."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from app.records.key_file import KeyFile, Role
from app.settings import Settings
from tests.app.api.live_server import wait_for
from tests.conftest import ROOT
from tests.deploy.load import CLIENTS, Load
from tests.deploy.swarm_cluster import Engine, run, two_engines

FILE = ROOT / "deploy" / "swarm" / "stack.yml"
STACK = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVER, BALANCER = STACK["services"]["caries"], STACK["services"]["haproxy"]
IMAGES = ("caries-screen:cpu", "caries-haproxy:latest")
DEPLOY_S = 300.0


def default(text: str) -> str:
    """The default of a variable in the file."""
    return text.partition(":-")[2].removesuffix("}") if text.startswith("${") else text


def configured(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What the client of Docker, which validates stacks, says to a file."""
    if shutil.which("docker") is None:
        pytest.skip("there is no docker command")
    if "config" not in subprocess.run(["docker", "stack", "--help"], capture_output=True, text=True).stdout:
        pytest.skip("this docker command has no `stack config`")
    path = folder / "stack.yml"
    path.write_text(text, encoding="utf-8")
    return subprocess.run(["docker", "stack", "config", "--compose-file", str(path)], capture_output=True, text=True)


def test_docker_accepts_the_file_and_finds_a_misspelt_key(tmp_path: Path) -> None:
    text = FILE.read_text(encoding="utf-8")
    done = configured(text, tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == {"caries", "haproxy"}
    assert "endpoint_modes" in configured(text.replace("endpoint_mode:", "endpoint_modes:"), tmp_path).stderr


def test_the_environment_is_settings() -> None:
    environment = {name: default(value) for name, value in SERVER["environment"].items()}
    settings = Settings.read(environment)
    assert settings.precision == "float32", "replicas answer alike"
    (secret,) = SERVER["secrets"]
    assert settings.keys == Path("/run/secrets") / secret["target"]
    assert (secret["uid"], secret["mode"]) == ("10001", 0o400)
    assert STACK["secrets"][secret["source"]]["external"] is True, "keys are in no file of the stack"
    assert "{{.Task.ID}}" in str(settings.audit), "one chain for each task"


def test_ending_a_replica_loses_no_photo() -> None:
    settings = Settings.read({"CARIES_DRAIN_S": SERVER["environment"]["CARIES_DRAIN_S"]})
    grace_s = float(SERVER["stop_grace_period"].removesuffix("s"))
    assert grace_s >= settings.drain_s + settings.shutdown_s + 10
    deploy = SERVER["deploy"]
    assert deploy["replicas"] >= 2
    assert deploy["update_config"]["order"] == deploy["rollback_config"]["order"] == "start-first"
    assert deploy["update_config"]["parallelism"] == 1
    assert deploy["update_config"]["failure_action"] == "rollback"


def test_no_virtual_address_and_ports_of_the_host() -> None:
    assert SERVER["deploy"]["endpoint_mode"] == "dnsrr"
    assert "ports" not in SERVER
    (port,) = BALANCER["ports"]
    assert (port["mode"], BALANCER["deploy"]["mode"]) == ("host", "global")
    assert BALANCER["deploy"]["update_config"]["order"] == "stop-first", "the port is taken until then"
    assert "${CARIES_SERVICE}:8000" in (ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text(encoding="utf-8")
    assert BALANCER["environment"]["CARIES_SERVICE"] in STACK["services"]
    assert STACK["networks"]["photos"]["driver_opts"] == {"encrypted": "true"}


@pytest.mark.parametrize("service", [SERVER, BALANCER], ids=["caries", "haproxy"])
def test_every_service_is_limited_and_unprivileged(service: dict[str, Any]) -> None:
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}


class Deployed:
    """The stack on a manager."""

    def __init__(self, manager: Engine) -> None:
        self._manager = manager

    def deploy(self, **variables: str) -> None:
        """As docs/scale.md says, with settings that fit two engines on one machine."""
        small = {"CARIES_CPUS": "1", "CARIES_MEMORY": "2G", "CARIES_REQUESTS_PER_MINUTE": "0"}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**small, **variables}.items():
                patch.setenv(name, value)
            self._manager.docker("stack", "deploy", "--compose-file", str(FILE), "caries")

    def running(self) -> int:
        """Replicas that are healthy."""
        found = self._manager.docker("service", "ls", "--filter", "name=caries_caries", "--format", "{{.Replicas}}")
        return int(found.partition("/")[0])

    def is_updated_to(self, image: str) -> bool:
        """Whether the last update has ended and only replicas of the image should run."""
        template = "{{with .UpdateStatus}}{{.State}}{{end}}"
        state = self._manager.docker("service", "inspect", "caries_caries", "--format", template)
        return state == "completed" and set(self._tasks("{{.Image}}")) == {image}

    def nodes(self) -> set[str]:
        """Nodes whose replicas should run."""
        return {self._manager.docker("inspect", "--format", "{{.NodeID}}", task) for task in self._tasks("{{.ID}}")}

    def _tasks(self, template: str) -> list[str]:
        listed = ["--filter", "desired-state=running", "--format", template, "--no-trunc"]
        return self._manager.docker("service", "ps", "caries_caries", *listed).split()


@pytest.fixture(scope="module")
def images() -> None:
    """Both images, built by the engine of this machine; with CARIES_TEST_IMAGES=built, those that are there."""
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        pytest.skip("there is no Docker engine that builds the images")
    if os.environ.get("CARIES_TEST_IMAGES") == "built":
        return
    network = f"--network={os.environ.get('CARIES_BUILD_NETWORK', 'host')}"
    run("docker", "build", "--quiet", network, "--target", "cpu", "--tag", IMAGES[0], str(ROOT), timeout=1800)
    run("docker", "build", "--quiet", network, "--tag", IMAGES[1], str(ROOT / "deploy" / "haproxy"), timeout=1800)


@pytest.mark.systems
def test_a_cluster_of_two_engines(images: None, tmp_path: Path) -> None:
    """Deployed, scaled, updated under load, and a node killed."""
    archive, keys = tmp_path / "images.tar", tmp_path / "keys.json"
    run("docker", "save", "--output", str(archive), *IMAGES)
    _, key = KeyFile(keys).add("clinic", Role.DETECT)
    with two_engines() as (manager, worker):
        for engine in (manager, worker):
            engine.docker("load", "--input", str(archive))
            engine.docker("tag", IMAGES[0], "caries-screen:next")
        archive.unlink()
        manager.docker("secret", "create", "caries-keys-1", str(keys))
        stack = Deployed(manager)

        stack.deploy()
        wait_for(lambda: stack.running() == 2, DEPLOY_S)
        assert len(stack.nodes()) == 2, "spread over the nodes"
        address = f"http://{manager.published}:8080"
        wait_for(lambda: httpx.get(f"{address}/health/ready", timeout=30).status_code == 200, 60)
        assert httpx.post(f"{address}/detect", content=b"x", timeout=30).status_code == 401

        manager.docker("service", "scale", "--detach", "caries_caries=3")
        wait_for(lambda: stack.running() == 3, DEPLOY_S)

        with Load(address, key) as load:
            load.wait_for_answers(5, DEPLOY_S)
            stack.deploy(CARIES_IMAGE="caries-screen:next")
            wait_for(lambda: stack.is_updated_to("caries-screen:next"), 2 * DEPLOY_S)
            load.wait_for_answers(5, DEPLOY_S)
        assert set(load.statuses) == {200}, load.statuses

        with Load(address, key) as load:
            load.wait_for_answers(5, DEPLOY_S)
            worker.kill()
            wait_for(lambda: len(stack.nodes()) == 1 and stack.running() == 2, DEPLOY_S)
            load.wait_for_answers(5, DEPLOY_S)
        assert set(load.statuses) <= {200, 503, 0, -1}, load.statuses
        assert load.statuses.total() - load.statuses[200] <= CLIENTS, load.statuses
