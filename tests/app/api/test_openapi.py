"""The OpenAPI description against a real server: schemathesis sends valid and invalid requests."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("schemathesis", reason="schemathesis is not installed")
pytest.importorskip("alembic", reason="the extra reviews is not installed")

from app.records.key_file import KeyFile, Role
from app.reviews.database import FILE
from app.reviews.store import ReviewStore
from app.settings import StoreLocation
from tests.app.api.live_server import write_bundle
from tests.app.api.server_process import running
from tests.app.reviews.samples import keep, read

CONFIG = Path(__file__).with_name("schemathesis.toml")


KEYS = {
    "keys": ["--exclude-path-regex", "^/(reviews|session|v2)"],
    "keys-photo": ["--include-path-regex", "^/reviews/photos/"],
    "keys-reviews": ["--include-path-regex", "^/reviews", "--exclude-path-regex", "^/reviews/photos/"],
    "keys-session": ["--include-path-regex", "^/session"],
}
"""Parts of a server with keys: a single run would send more wrong keys than are answered 401."""


def keep_photos(folder: Path) -> None:
    """Photos 1 to 40, each read once, of which the configuration names the last; kept on the last day there is."""
    with closing(ReviewStore(StoreLocation(folder, None))) as store:
        for number in range(1, 41):
            assert keep(store, number) == number
            read(store, number, "first", 0)
    with closing(sqlite3.connect(folder / FILE)) as database, database:
        database.execute("UPDATE photos SET kept_at = '9999-12-31 00:00:00.000000'")


@pytest.fixture(params=["open", *KEYS])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """Address, headers and the paths to test."""
    write_bundle(tmp_path)
    keep_photos(tmp_path / "reviews")
    flags, options = ["--requests-per-minute", "0", "--reviews", str(tmp_path / "reviews")], []
    if request.param == "open":
        options = ["--exclude-path-regex", "^/v2/models/.*/versions/"]  # they share the functions of other paths
    else:
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
