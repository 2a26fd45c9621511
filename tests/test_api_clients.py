"""The clients in docs/api.md, run as they are written there, against a server with keys."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.detector.bundle import Bundle
from app.records.key_file import KeyFile, Role
from tests.app.api.server_process import Server, real
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

SECTION = (ROOT / "docs" / "api.md").read_text(encoding="utf-8").split("\n## Clients\n")[1].split("\n## ")[0]
EXAMPLES = re.findall(r"```(\w+)\n(.*?)```", SECTION, re.DOTALL)
PROGRAMS = {"sh": ("bash", "-c"), "python": (sys.executable, "-c"), "js": ("node", "--input-type=module", "-e")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photo.jpg`."""
    path = tmp_path_factory.mktemp("clients")
    shutil.copy(ROOT / "examples" / "img_train" / "Folder_0001.jpg", path / "photo.jpg")
    return path


@pytest.fixture(scope="module")
def served(folder: Path, shipped_bundle: Bundle) -> Iterator[tuple[Server, str]]:
    """A server with the shipped detector, and a key."""
    _, key = KeyFile(folder / "keys.json").add("tester", Role.DETECT)
    with real(shipped_bundle, folder / "store", "--keys", str(folder / "keys.json")) as server:
        yield server, key


def run(language: str, code: str, folder: Path, server: Server, key: str) -> subprocess.CompletedProcess[str]:
    program, *options = PROGRAMS[language]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    assert "localhost:8000" in code
    assert "Bearer KEY" in code
    code = code.replace("localhost:8000", f"127.0.0.1:{server.port}").replace("Bearer KEY", f"Bearer {key}")
    return subprocess.run([program, *options, code], cwd=folder, capture_output=True, text=True, timeout=120)


def test_four_clients_are_shown() -> None:
    found = [language for language, _ in EXAMPLES]
    assert found == ["sh", "python", "python", "js"]
    for (_, code), name in zip(EXAMPLES, ("curl", "httpx", "tritonclient", "fetch"), strict=True):
        assert name in code


@pytest.mark.parametrize(("language", "code"), EXAMPLES, ids=["curl", "httpx", "tritonclient", "fetch"])
def test_a_client_prints_the_verdict(language: str, code: str, folder: Path, served: tuple[Server, str]) -> None:
    if "tritonclient" in code:
        pytest.importorskip("tritonclient", reason="tritonclient is not installed")
    done = run(language, code, folder, *served)
    assert done.returncode == 0, done.stderr
    assert "caries_suspected" in done.stdout
    refused = run(language, code, folder, served[0], "wrong")
    assert refused.returncode != 0 or "verdict" not in refused.stdout
    assert "401" in refused.stdout + refused.stderr or "key" in refused.stdout + refused.stderr
