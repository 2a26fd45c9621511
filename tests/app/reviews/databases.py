"""Locations for a store: a folder, and a database of a PostgreSQL server that the tests start and end themselves."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.settings import StoreLocation

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
"""Where Debian has PostgreSQL."""

START_S = 60.0


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a PostgreSQL server without its database."""
    pytest.importorskip("pg8000", reason="pg8000 is not installed")
    if not PROGRAMS:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with running_postgresql() as url:
        yield url


@contextmanager
def running_postgresql() -> Iterator[str]:
    """A PostgreSQL server in a temporary folder, as a user without privileges."""
    import pg8000.dbapi

    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="caries-postgresql-"))
    try:
        if user is not None:
            entry = pwd.getpwnam(user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        options: Any = {"user": user, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        setup = ["--pgdata", str(folder / "data"), "--auth", "trust", "--username", "caries", "--no-sync"]
        locale = ["--encoding", "UTF8", "--locale", "C.UTF-8"]
        subprocess.run([PROGRAMS[-1] / "initdb", *setup, *locale], check=True, **options)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings: dict[str, object] = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder}
        settings |= {"fsync": "off", "shared_buffers": "16MB", "max_connections": 60}
        flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        server = subprocess.Popen([PROGRAMS[-1] / "postgres", "-D", folder / "data", *flags], **options)
        try:
            end = time.monotonic() + START_S
            while True:
                try:
                    pg8000.dbapi.connect("caries", "127.0.0.1", "postgres", port).close()
                    break
                except (pg8000.dbapi.Error, OSError):
                    assert time.monotonic() < end, "PostgreSQL did not start"
                    assert server.poll() is None, "PostgreSQL ended"
                    time.sleep(0.05)
            yield f"postgresql://caries@127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGINT)  # its fast shutdown
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_database(server: str, name: str) -> StoreLocation:
    """An empty database of the server."""
    import pg8000.dbapi

    host, _, port = server.rpartition("@")[2].partition(":")
    connection = pg8000.dbapi.connect("caries", host, "postgres", int(port))
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    return StoreLocation(None, f"{server}/{name}")


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> StoreLocation:
    """An empty location of a store."""
    pytest.importorskip("alembic", reason="the extra reviews is not installed")
    return empty_location(request, request.param, tmp_path)


def empty_location(request: pytest.FixtureRequest, kind: str, folder: Path, name: str = "reviews") -> StoreLocation:
    """An empty folder, or an empty database of the tests' server."""
    if kind == "sqlite":
        return StoreLocation(folder / name, None)
    return new_database(request.getfixturevalue("postgresql"), f"test_{time.monotonic_ns()}")
