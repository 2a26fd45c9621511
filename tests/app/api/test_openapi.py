"""The OpenAPI description against a real server: schemathesis sends valid and invalid requests."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.records.key_file import KeyFile, Role
from tests.app.api.live_server import write_bundle
from tests.app.api.server_process import running

pytest.importorskip("schemathesis", reason="schemathesis is not installed")


CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture(params=["open", "keys"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """Address and headers."""
    write_bundle(tmp_path)
    flags, headers = ["--requests-per-minute", "0"], []
    if request.param == "open":
        flags += [
            "--reviews",
            str(tmp_path / "reviews"),
        ]  # with keys, there would be more wrong ones than are answered 401
    if request.param == "keys":
        _, key = KeyFile(tmp_path / "keys.json").add("tester", Role.ADMIN)
        flags += ["--keys", str(tmp_path / "keys.json")]
        headers = ["--header", f"Authorization: Bearer {key}"]
    with running(tmp_path, *flags) as server:
        yield [f"{server.address}/openapi.json", *headers]


def test_schemathesis_finds_nothing(target: list[str], tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIG), "run", *target]
    command += ["--seed", "1", "--no-color"]
    command += ["--max-examples", "40", "--generation-database", "none", "--phases", "examples,coverage,fuzzing"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ), check=False)
    assert done.returncode == 0, done.stdout[-6000:]
