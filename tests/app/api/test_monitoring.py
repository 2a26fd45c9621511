"""The queries of deploy/monitoring, run by a real Prometheus."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
import yaml

from app.records.key_file import KeyFile, Role
from tests.app.api.live_server import Live, Start, make_photo, wait_for

MONITORING = Path(__file__).parents[3] / "deploy" / "monitoring"


def expressions() -> list[str]:
    dashboard = json.loads((MONITORING / "grafana" / "dashboards" / "caries.json").read_text(encoding="utf-8"))
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


@pytest.fixture
def live(start: Start, tmp_path: Path) -> Iterator[Live]:
    keys = tmp_path / "keys.json"
    _, key = KeyFile(keys).add("prometheus", Role.DETECT)
    with start(keys=keys) as running:
        running.client.headers["Authorization"] = f"Bearer {key}"
        (tmp_path / "key").write_text(key, encoding="utf-8")
        yield running


@pytest.fixture
def prometheus(live: Live, tmp_path: Path) -> Iterator[httpx.Client]:
    """Prometheus with the repository's configuration, for this test's server and at a short interval."""
    if shutil.which("prometheus") is None:
        pytest.skip("Prometheus is not installed")
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"]["scrape_interval"] = "200ms"
    job = next(job for job in config["scrape_configs"] if job["job_name"] == "caries")
    config["scrape_configs"] = [job]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{live.port}"]}]
    job["authorization"]["credentials_file"] = str(tmp_path / "key")
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'series'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=10) as client:
            yield client
    finally:
        process.terminate()
        process.wait(20)


def test_prometheus_scrapes_the_metrics_and_every_dashboard_panel_has_data(
    live: Live, prometheus: httpx.Client
) -> None:
    def is_up() -> bool:
        try:
            answer = prometheus.get("/targets")
        except httpx.HTTPError:
            return False
        if answer.status_code != 200:
            return False
        targets = answer.json()["data"]["activeTargets"]
        return [target["health"] for target in targets] == ["up"]

    wait_for(is_up, seconds=60)
    too_small = make_photo(40, 40)

    def something(expression: str) -> bool:
        assert live.client.post("/detect", content=make_photo()).status_code == 200
        live.client.post("/detect", content=too_small)
        live.client.post("/detect", content=b"not a photo")
        answer = prometheus.get("/query", params={"query": expression}).json()
        assert answer["status"] == "success", (expression, answer)
        return bool(answer["data"]["result"])

    for expression in expressions():
        wait_for(partial(something, expression), seconds=30)
