"""The log as JSON."""

import json
from pathlib import Path

import httpx
import pytest

from app.api.middleware.observe import HEADER
from tests.app.api.live_server import write_bundle
from tests.app.api.server_process import running


@pytest.mark.slow
def test_the_json_log_has_the_request_id(tmp_path: Path, photo: bytes) -> None:
    write_bundle(tmp_path)
    with running(tmp_path, "--log-format", "json") as server:
        httpx.post(f"{server.address}/detect", content=photo, headers={HEADER: "visit-7"})
        server.process.terminate()
        assert server.ends() == 0
    entries = [json.loads(line) for line in server.said.splitlines()]
    assert all({"time", "level", "logger", "message", "request"} <= set(entry) for entry in entries)
    (detect,) = (entry for entry in entries if entry.get("route") == "/detect")
    assert (detect["request"], detect["status"], detect["method"]) == ("visit-7", 200, "POST")
    assert detect["milliseconds"] > 0
    assert any(entry["logger"].startswith("uvicorn") for entry in entries)
