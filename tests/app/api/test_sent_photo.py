"""One photo is screened the same, whichever protocol sent it."""

from pathlib import Path

import pytest

from tests.app.api.live_server import Live, Start, records
from tests.app.api.v2_requests import infer_body


def send(live: Live, path: str, photo: bytes) -> int:
    if path == "/detect":
        return live.client.post(path, content=photo, headers={"Accept": "application/json"}).status_code
    body, headers = infer_body(photo)
    return live.client.post(path, content=body, headers=headers).status_code


@pytest.mark.parametrize("path", ["/detect", "/v2/models/stand-in/infer", "/v2/models/stand-in/versions/1/infer"])
def test_the_audit_log_and_the_metrics_have_it(start: Start, photo: bytes, tmp_path: Path, path: str) -> None:
    with start(audit=tmp_path / "audit") as live:
        assert send(live, path, photo) == 200
        assert send(live, path, photo[:300]) == 422
        assert send(live, path, b"") == 422
        assert live.metric("caries_verdicts_total", verdict="caries_suspected") == 1
        assert live.metric("caries_stage_seconds_count", stage="inference") == 1
        assert live.metric("caries_stage_seconds_count", stage="draw") == 0
        assert live.metric("caries_problems_total", type="unreadable-photo") == 2
        route = path.replace("stand-in", "{model}").replace("/1/", "/{version}/")
        assert live.metric("caries_requests_total", route=route, method="POST", status="200") == 1
    screened, damaged, empty = records(tmp_path / "audit")
    assert (screened["verdict"], screened["boxes"], screened["model"]) == ("caries_suspected", 2, "stand-in/1")
    assert screened["route"] == route
    assert len(damaged["input_sha256"]) == 64
    assert "input_sha256" not in empty
    assert damaged["problem"] == empty["problem"] == "unreadable-photo"
