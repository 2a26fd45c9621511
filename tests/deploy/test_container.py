"""The container as a clinic runs it, with the compose file; needs a Docker engine."""

import hashlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tarfile
import time
import tomllib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.detector.bundle import Bundle

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MAX_BYTES = 350 * 10**6
ADDED_BY_DOCKER = (".dockerenv", "dev", "proc", "sys", "etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/mtab")
"""Files in the export of a container that are not in its image."""


def run(*command: str, timeout: float = 900, check: bool = True, **options: Any) -> str:
    result: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, **options
    )
    assert not check or result.returncode == 0, (command, result.stdout[-1000:], result.stderr[-2000:])
    return result.stdout.strip()


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not reached within {seconds:g} s"
        time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
    """The running service; its client has the key from the log."""

    def __init__(self, compose: list[str], project: str, port: int, tls_port: int, environment: dict[str, str]) -> None:
        self._command = [*compose, "--project-name", project]
        self._environment = environment
        self.port, self.tls_port = port, tls_port
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)

    def compose(self, *arguments: str, check: bool = True) -> str:
        return run(*self._command, *arguments, cwd=ROOT, env=self._environment, check=check)

    @property
    def id(self) -> str:
        return self.compose("ps", "--quiet", "caries")

    def inspect(self, template: str) -> str:
        return run("docker", "inspect", "--format", template, self.id)

    def python(self, code: str) -> str:
        """The output of a Python program in the container, which has no shell."""
        return run("docker", "exec", self.id, "/opt/caries/bin/python", "-c", code)

    def read(self, path: str) -> str:
        return self.python(f"print(open({path!r}).read())")

    def is_ready(self) -> bool:
        try:
            return self.client.get("/health/ready").status_code == 200
        except httpx.HTTPError:
            return False


@pytest.fixture(scope="module")
def container(engine: None, compose: list[str]) -> Iterator[Container]:
    port, tls_port = free_port(), free_port()
    project = f"caries-test-{uuid.uuid4().hex[:8]}"
    environment = {
        **os.environ,
        "CARIES_PUBLISH": str(port),
        "CARIES_TLS_PUBLISH": str(tls_port),
        "CARIES_BUILD_NETWORK": "host",
        "COMPOSE_PROFILES": "tls",
    }
    started = Container(compose, project, port, tls_port, environment)
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


def test_it_screens_a_photo_with_the_key_and_not_without(
    container: Container, example_photos: list[Path], shipped_bundle: Bundle
) -> None:
    photo = example_photos[0].read_bytes()
    answer = container.client.post("/detect", content=photo, headers={"Accept": "application/json"})
    assert answer.json()["verdict"] == "caries_suspected"
    assert answer.json()["model"]["sha256"] == shipped_bundle.sha256
    assert container.client.post("/detect", content=photo).headers["content-type"] == "image/png"
    assert httpx.post(f"{container.client.base_url}/detect", content=photo, timeout=60).status_code == 401


def test_it_reports_its_health(container: Container) -> None:
    command = json.loads(container.inspect("{{json .Config.Healthcheck.Test}}"))
    run("docker", "exec", container.id, *command[1:])


def test_it_runs_without_privileges(container: Container) -> None:
    status = container.read("/proc/1/status")
    assert re.search(r"^Uid:\s+10001\s+10001", status, re.MULTILINE)
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    assert int(container.inspect("{{.HostConfig.Memory}}")) == 5 * 2**30
    assert int(container.inspect("{{.HostConfig.NanoCpus}}")) == 2 * 10**9
    assert int(container.inspect("{{.HostConfig.PidsLimit}}")) == 256
    # Memory and swap together: none of it is swap, or photos could come to lie on the disk.
    assert int(container.inspect("{{.HostConfig.MemorySwap}}")) == 5 * 2**30
    assert re.search(
        r"^Max core file size\s+[01]\s+[01]\s",
        container.read("/proc/1/limits"),
        re.MULTILINE,
    )
    log = json.loads(container.inspect("{{json .HostConfig.LogConfig}}"))
    assert log == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}}
    assert json.loads(container.inspect("{{json .NetworkSettings.Ports}}"))["8000/tcp"][0]["HostIp"] == "127.0.0.1"


def test_it_writes_only_to_its_volume(container: Container, example_photos: list[Path]) -> None:
    """For every format, including HEIC, which a separate process decodes."""
    for photo in (*example_photos, ROOT / "tests" / "data" / "four_colours.heic"):
        assert container.client.post("/detect", content=photo.read_bytes()).status_code == 200
    assert container.inspect("{{.HostConfig.ReadonlyRootfs}}") == "true"
    # Changes to the files of the image: only the folders where volumes are mounted.
    assert run("docker", "diff", container.id) in ("", "C /var\nC /var/lib\nC /var/lib/caries")
    assert container.python("import os; print(os.listdir('/tmp'))") == "[]"
    walk = "import os\nfor folder, _, names in os.walk('/var/lib/caries'):\n  for name in names:\n"
    walk += "    path = os.path.join(folder, name); print(path, oct(os.stat(path).st_mode & 0o777))"
    written = dict(line.split() for line in container.python(walk).splitlines())
    assert {path.split("/")[4] for path in written} == {"keys.json", "audit", "precision.json"}
    assert set(written.values()) == {"0o600"}


def test_it_contains_no_shell_and_no_unneeded_program(container: Container) -> None:
    for program in ("sh", "/bin/sh", "/bin/bash", "apt", "pip", "/usr/bin/perl"):
        done = subprocess.run(["docker", "exec", container.id, program], capture_output=True, text=True)
        assert done.returncode != 0
        assert "no such file" in (done.stdout + done.stderr).lower() or "not found" in done.stdout + done.stderr
    # Scanners read the list of packages; outgoing TLS, such as traces over HTTPS, needs the CA certificates.
    packages = container.python("import os; print(*os.listdir('/var/lib/dpkg/status.d'))").split()
    assert {"libc6", "libssl3"} <= set(packages) or not packages
    assert int(container.python("import ssl; print(ssl.create_default_context().cert_store_stats()['x509_ca'])")) > 50
    start = "import sys, ssl, sqlite3, _pi_heif, ai_edge_litert.interpreter; print(sys.version_info[:2])"
    assert container.python(start) == "(3, 11)"


def test_its_audit_log_records_every_request(container: Container, example_photos: list[Path]) -> None:
    answer = container.client.post("/detect", content=example_photos[0].read_bytes())
    newest = "import pathlib; print(max(pathlib.Path('/var/lib/caries/audit').glob('audit-*')).read_text())"
    last = json.loads(container.python(newest).splitlines()[-1])
    assert (last["request"], last["key"], last["status"]) == (answer.headers["X-Request-Id"], "admin", 200)
    assert "unbroken" in run("docker", "exec", container.id, "/opt/caries/bin/caries", "audit", "verify")


def test_a_backup_is_restored_into_an_empty_volume(
    container: Container, example_photos: list[Path], tmp_path: Path
) -> None:
    assert container.client.post("/detect", content=example_photos[0].read_bytes()).status_code == 200
    archive, volume = tmp_path / "caries-backup.tar", f"caries-restored-{uuid.uuid4().hex[:8]}"
    with archive.open("wb") as stream:
        command = ["docker", "exec", container.id, "/opt/caries/bin/caries", "backup"]
        subprocess.run(command, stdout=stream, check=True, timeout=60)
    inside, image = ["docker", "run", "--rm", "--volume", f"{volume}:/var/lib/caries"], container.inspect("{{.Image}}")
    caries = [*inside, image, "/opt/caries/bin/caries"]
    restore = [*inside, "--interactive", image, "/opt/caries/bin/caries", "restore", "--audit", "/var/lib/caries/audit"]
    try:
        with archive.open("rb") as stream:
            subprocess.run(restore, stdin=stream, check=True, timeout=60)
        assert "unbroken" in run(*caries, "audit", "verify", "--audit", "/var/lib/caries/audit")
        assert run(*caries, "keys", "list").endswith("admin")
    finally:
        run("docker", "volume", "rm", volume, check=False)


def test_the_image_is_small_and_lists_its_contents(container: Container) -> None:
    image = container.inspect("{{.Image}}")
    assert int(run("docker", "image", "inspect", "--format", "{{.Size}}", image)) <= MAX_BYTES
    bill = json.loads(container.read("/opt/caries/sbom.cdx.json"))
    names = {component["name"] for component in bill["components"]}
    assert bill["bomFormat"] == "CycloneDX"
    assert {"fastapi", "numpy", "ai-edge-litert"} <= names
    assert not {"tensorflow", "pip", "setuptools"} & names
    labels = json.loads(run("docker", "image", "inspect", "--format", "{{json .Config.Labels}}", image))
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert labels["org.opencontainers.image.version"] == version
    assert {"title", "description", "revision"} <= {name.split(".", 3)[3] for name in labels}


def test_the_same_sources_give_the_same_files(container: Container, tmp_path: Path) -> None:
    again = f"caries-again-{uuid.uuid4().hex[:8]}"
    # A second checkout with a different time and umask.
    sources = tmp_path / "sources"
    for name in ("app", "model_store", "requirements", "deploy"):
        shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".dockerignore", "Dockerfile", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources / name)
    for path in sources.rglob("*"):
        path.chmod(path.stat().st_mode | 0o020)
        os.utime(path, (1, 1))
    try:
        options = ["--no-cache", "--network=host", "--quiet", "--target", "cpu", "--tag", again]
        run("docker", "build", *options, str(sources))
        first, second = (contents(image, tmp_path) for image in (container.inspect("{{.Image}}"), again))
    finally:
        run("docker", "image", "rm", again, check=False)
    assert len(first) > 1000
    assert first == second
    times = {time for _, _, _, time, _ in first.values()}
    assert times == {0}, "all files have the time of SOURCE_DATE_EPOCH"


def contents(image: str, folder: Path) -> dict[str, tuple[Any, ...]]:
    """Path to kind, mode, owner, time, and the digest of a file or the target of a link, for an image."""
    created, archive = run("docker", "create", image), folder / "root.tar"
    try:
        run("docker", "export", "--output", str(archive), created)
    finally:
        run("docker", "rm", created)
    found = {}
    with tarfile.open(archive) as root:
        for member in root:
            if member.isdir() or member.name in ADDED_BY_DOCKER or member.name.split("/")[0] in ADDED_BY_DOCKER:
                continue
            stream = root.extractfile(member) if member.isfile() else None
            digest = hashlib.sha256(stream.read()).hexdigest() if stream else member.linkname
            found[member.name] = (member.type, member.mode, (member.uid, member.gid), member.mtime, digest)
    return found


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_the_proxy_serves_https(container: Container, example_photos: list[Path]) -> None:
    container.compose("build", "--quiet", "tls")
    container.compose("up", "--detach", "--no-deps", "tls")
    address = f"https://127.0.0.1:{container.tls_port}"
    key = container.client.headers["Authorization"]
    with httpx.Client(base_url=address, verify=False, timeout=60, headers={"Authorization": key}) as client:

        def is_ready() -> bool:
            try:
                return client.get("/health/ready").status_code == 200
            except httpx.HTTPError:
                return False

        wait_for(is_ready)
        photo = example_photos[0].read_bytes()
        answer = client.post("/detect", content=photo, headers={"Accept": "application/json"})
        assert answer.json()["verdict"] == "caries_suspected"
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert answer.headers["cache-control"] == "no-store"
        assert client.post("/detect", content=photo, headers={"Authorization": "Bearer x"}).status_code == 401
        # The server's own limits and answers come through.
        large = client.post("/detect", content=bytes(33 * 2**20))
        assert large.json()["type"] == "/problems/photo-too-large"
    proxy = container.compose("ps", "--quiet", "tls")
    status = run("docker", "exec", proxy, "cat", "/proc/1/status")
    assert re.search(r"^Uid:\s+10002\s+10002", status, re.MULTILINE)
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    shown = container.compose("logs", "--no-color", "tls")
    assert "sha256 Fingerprint" in shown
    assert run("docker", "exec", proxy, "stat", "-c", "%a", "/etc/caries-tls/key.pem") == "600"
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", container.tls_port)) as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain)


def test_it_restarts_after_a_kill_with_the_same_key(container: Container, example_photos: list[Path]) -> None:
    restarts = int(container.inspect("{{.RestartCount}}"))
    # After `docker kill` the engine does not restart a container, so the process itself is killed.
    os_pid = container.inspect("{{.State.Pid}}")
    run("kill", "-9", os_pid)
    wait_for(lambda: int(container.inspect("{{.RestartCount}}")) > restarts)
    wait_for(container.is_ready)
    assert container.client.post("/detect", content=example_photos[0].read_bytes()).status_code == 200
    shown = re.findall(r"caries_[A-Za-z0-9]+_[A-Za-z0-9_-]+", container.compose("logs", "--no-color", "caries"))
    assert len(shown) == 1, "the key is not shown again"


@pytest.fixture(scope="module")
def pacs(engine: None, compose: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int, str]]:
    """The profile `pacs` as `docs/pacs.md` starts it: the archive's ports for DICOM and HTTP, and its password."""
    key, port, web_port = tmp_path_factory.mktemp("pacs") / "key", free_port(), free_port()
    environment = {
        **os.environ,
        "CARIES_DICOM_PUBLISH": str(port),
        "CARIES_ORTHANC_PUBLISH": str(web_port),
        "CARIES_GATEWAY_PUBLISH": str(free_port()),
        "CARIES_BUILD_NETWORK": "host",
        "CARIES_GATEWAY_KEY": str(key),
        "CARIES_MODALITIES": "camera=CLINIC@127.0.0.1:104",
    }
    command = [*compose, "--project-name", f"caries-test-{uuid.uuid4().hex[:8]}", "--profile", "pacs"]

    def call(*arguments: str, check: bool = True) -> str:
        return run(*command, *arguments, cwd=ROOT, env=environment, check=check)

    try:
        call("build", "--quiet", "caries-dicom", "gateway", "orthanc")
        key.write_text(call("run", "--rm", "-T", "caries-dicom", "caries", "keys", "add", "--name", "gateway"))
        key.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(key, 10001, 10001)
        call("up", "--detach", "orthanc")
        shown: list[str] = []

        def has_started() -> bool:
            shown[:] = re.findall(r"password of the user clinic is (\S+)", call("logs", "--no-color", "orthanc"))
            return bool(shown)

        wait_for(has_started)
        yield port, web_port, shown[0]
        containers = call("ps", "--quiet").split()
        assert {run("docker", "inspect", "--format", "{{.RestartCount}}", one) for one in containers} == {"0"}
        gateway = call("ps", "--quiet", "gateway")
        wait_for(lambda: run("docker", "inspect", "--format", "{{.State.Health.Status}}", gateway) == "healthy")
    finally:
        call("down", "--volumes", "--timeout", "5", check=False)


def test_photos_in_the_archive_come_back_with_their_answers(pacs: tuple[int, int, str]) -> None:
    pytest.importorskip("pynetdicom")
    from tests.app.gateway.archives import photo, store

    port, web_port, password = pacs

    def get(path: str) -> Any:  # each on its own connection, since Orthanc closes idle ones
        return httpx.get(f"http://127.0.0.1:{web_port}{path}", auth=("clinic", password), timeout=60).json()

    def answers() -> bool:
        try:
            return bool(get("/system"))
        except httpx.HTTPError:
            return False

    wait_for(answers)
    assert httpx.get(f"http://127.0.0.1:{web_port}/instances").status_code == 401
    sent = [photo(n) for n in range(1, 4)]
    assert store(port, *sent, called="ORTHANC") == [0] * 3
    wait_for(lambda: len(get("/instances")) == 9, seconds=120)
    (study,) = get("/studies?expand")
    series = [get(f"/series/{one}") for one in study["Series"]]
    found = sorted((one["MainDicomTags"]["Modality"], len(one["Instances"])) for one in series)
    assert found == [("OT", 3), ("SR", 3), ("XC", 3)]


def test_the_offline_kit_installs_without_a_network(
    container: Container, compose: list[str], tmp_path: Path, example_photos: list[Path]
) -> None:
    script = str(ROOT / "deploy" / "offline-kit.sh")
    run("sh", script, str(tmp_path / "kit"), env={**os.environ, "BUILD_NETWORK": "host"})
    archive = tmp_path / "kit" / "caries-screen-offline.tar"
    sum_of_archive = (tmp_path / "kit" / "caries-screen-offline.tar.sha256").read_text().split()[0]
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == sum_of_archive
    run("tar", "--extract", "--file", str(archive), "--directory", str(tmp_path))
    folder = tmp_path / "caries-screen-offline"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "caries-screen.tar", "docker-compose.yml", "install.sh", "LICENSE", "README.md", "README.ko.md", "SHA256SUMS",
        "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "deploy", "docs", "benchmarks", "training", "pyproject.toml",
    }  # fmt: skip
    for page in folder.rglob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}, which the kit lacks"
    with tarfile.open(folder / "caries-screen.tar") as images:
        manifest = images.extractfile("manifest.json")
        assert manifest is not None
        saved = json.load(manifest)
    assert {tag for image in saved for tag in image["RepoTags"]} == {
        *("caries-screen:cpu", "caries-screen:dicom", "caries-screen:gateway"),
        *("caries-tls:latest", "caries-orthanc:latest"),
    }
    port, tls_port = free_port(), free_port()
    environment = {
        **os.environ,
        "CARIES_PUBLISH": str(port),
        "CARIES_TLS_PUBLISH": str(tls_port),
        "CARIES_TLS_NAME": "192.168.0.10",
        "COMPOSE_PROFILES": "tls",
        "COMPOSE_PROJECT_NAME": f"caries-kit-{uuid.uuid4().hex[:8]}",
        # Connections to other machines fail.
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"),
        "NO_PROXY": "127.0.0.1,localhost",
    }
    # In a network namespace without connections; the Docker engine is reached through its socket.
    isolated = ["unshare", "--net"] if os.geteuid() == 0 and shutil.which("unshare") else []
    try:
        output = run(*isolated, "sh", str(folder / "install.sh"), env=environment)
        key = re.findall(r"caries_[A-Za-z0-9]+_[A-Za-z0-9_-]+", output)[0]
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

        run(*isolated, *compose, "up", "--detach", "--no-build", "tls", cwd=folder, env=environment)

        def is_ready_over_https() -> bool:
            try:
                return httpx.get(f"https://127.0.0.1:{tls_port}/health/ready", verify=False).status_code == 200
            except httpx.HTTPError:
                return False

        wait_for(is_ready_over_https)
        # The certificate is for the configured address, although the proxy is reached at another one here.
        certificate = ssl.get_server_certificate(("127.0.0.1", tls_port))
        trusting = ssl.create_default_context(cadata=certificate)
        with socket.create_connection(("127.0.0.1", tls_port)) as plain:
            trusting.wrap_socket(plain, server_hostname="192.168.0.10").close()
    finally:
        run(*compose, "down", "--volumes", "--timeout", "5", cwd=folder, env=environment, check=False)

    (folder / "README.md").write_text("altered")
    refused = subprocess.run(["sh", str(folder / "install.sh")], capture_output=True, text=True, env=environment)
    assert refused.returncode == 1
    assert "a file is damaged" in refused.stderr
