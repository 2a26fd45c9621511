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


KEYS = {
    "keys": ["--exclude-path-regex", "^/(reviews|session)"],
    "keys-reviews": ["--include-path-regex", "^/reviews"],
    "keys-session": ["--include-path-regex", "^/session"],
}
"""Parts of a server with keys. One run of all would send more wrong keys than are answered 401."""


@pytest.fixture(params=["open", *KEYS])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """Address, headers and the paths to test."""
    write_bundle(tmp_path)
    flags, options = ["--requests-per-minute", "0", "--reviews", str(tmp_path / "reviews")], []
    if request.param in KEYS:
        _, key = KeyFile(tmp_path / "keys.json").add("tester", Role.ADMIN)
        flags += ["--keys", str(tmp_path / "keys.json")]
        options = ["--header", f"Authorization: Bearer {key}", *KEYS[request.param]]
    with running(tmp_path, *flags) as server:
        yield [f"{server.address}/openapi.json", *options]


def test_schemathesis_finds_nothing(target: list[str], tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIG), "run", *target]
    command += ["--seed", "1", "--no-color"]
    command += ["--max-examples", "40", "--generation-database", "none", "--phases", "examples,coverage,fuzzing"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ), check=False)
    assert done.returncode == 0, done.stdout[-6000:]
