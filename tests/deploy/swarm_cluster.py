"""A Docker Swarm of two engines on this machine, each in a network namespace, as if on two machines."""

import contextlib
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.app.api.live_server import wait_for

START_S = 120.0


def run(*command: str, timeout: float = 600) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, (command, done.stdout[-1000:], done.stderr[-2000:])
    return done.stdout.strip()


class Engine:
    """An engine of its own, without the containers of other engines.

    Attributes:
        address: at which the other engine reaches it.
        published: at which this machine reaches the ports of its containers.
    """

    def __init__(self, number: int, namespace: str, folder: Path) -> None:
        self.address, self.published = f"10.211.0.{number}", f"10.211.{number}.1"
        self._folder, self._socket = folder, f"unix://{folder}/docker.sock"
        folders = ["--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
        files = ["--pidfile", str(folder / "docker.pid"), "--host", self._socket]
        with (folder / "log").open("w") as log:
            # `ip netns exec` would mount another /sys, without control groups.
            enter = ["nsenter", f"--net=/var/run/netns/{namespace}"]
            self._process = subprocess.Popen([*enter, "dockerd", *folders, *files], stdout=log, stderr=log)

    def docker(self, *arguments: str, timeout: float = 600) -> str:
        """The output of a command to this engine."""
        return run("docker", "--host", self._socket, *arguments, timeout=timeout)

    def is_up(self) -> bool:
        """Whether it answers."""
        assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
        return subprocess.run(["docker", "--host", self._socket, "info"], capture_output=True).returncode == 0

    def kill(self) -> None:
        """End it, its containers and their supervisors without a word, as a power cut does."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(30)
        for pid in [*self._supervisors(), *self._contained()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _supervisors(self) -> list[int]:
        """containerd and its shims, which have the folder of this engine in their command lines."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().decode(errors="replace").split("\0")
                if "containerd" in words[0] and any(str(self._folder / "exec") in word for word in words):
                    found.append(int(path.parent.name))
        return found

    def _contained(self) -> list[int]:
        """First processes of the containers, which containerd keeps in files."""
        pids = (self._folder / "exec").glob("containerd/daemon/io.containerd.runtime.v2.task/*/*/init.pid")
        return [int(path.read_text()) for path in pids]


@contextmanager
def two_engines() -> Iterator[tuple[Engine, Engine]]:
    """A manager and a worker; the test is skipped where they cannot run."""
    if missing := [program for program in ("dockerd", "docker", "ip", "nsenter") if shutil.which(program) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    name = f"cs{uuid.uuid4().hex[:6]}"
    folder = Path("/var/tmp") / name
    with ExitStack() as stack:
        for number in (1, 2):
            namespace = f"{name}-{number}"
            try:
                run("ip", "netns", "add", namespace)
                stack.callback(subprocess.run, ["ip", "netns", "del", namespace], check=False)
                run("ip", "link", "add", f"{name}v{number}", "type", "veth", "peer", "name", "eth1", "netns", namespace)
            except AssertionError as error:
                pytest.skip(f"network namespaces are not allowed here: {error}")
        run(
            "ip",
            "link",
            "add",
            "eth0",
            "netns",
            f"{name}-1",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            f"{name}-2",
        )
        stack.callback(_remove, folder)
        engines = []
        for number in (1, 2):
            outside, inside = f"{name}v{number}", ["nsenter", f"--net=/var/run/netns/{name}-{number}", "ip"]
            run("ip", "address", "add", f"10.211.{number}.254/24", "dev", outside)
            run("ip", "link", "set", outside, "up")
            for device, address in (("eth0", f"10.211.0.{number}/24"), ("eth1", f"10.211.{number}.1/24")):
                run(*inside, "address", "add", address, "dev", device)
            for device in ("lo", "eth0", "eth1"):
                run(*inside, "link", "set", device, "up")
            (folder / str(number)).mkdir(parents=True)
            engines.append(Engine(number, f"{name}-{number}", folder / str(number)))
            stack.callback(engines[-1].kill)
        first, second = engines
        for engine in engines:
            wait_for(engine.is_up, START_S)
        first.docker("swarm", "init", "--advertise-addr", first.address)
        token = first.docker("swarm", "join-token", "--quiet", "worker")
        second.docker("swarm", "join", "--advertise-addr", second.address, "--token", token, f"{first.address}:2377")
        yield first, second


def _remove(folder: Path) -> None:
    """Remove the folder of engines that have ended, whose mounts stay."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for path in sorted((path for path in mounted if path.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", path], check=False)
    shutil.rmtree(folder, ignore_errors=True)
