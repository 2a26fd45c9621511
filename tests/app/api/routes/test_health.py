"""Health checks and metrics over real HTTP."""

from pathlib import Path

from app.settings import Settings
from tests.app.api.live_server import StandIn, serving, wait_for, write_bundle


def test_live_immediately_and_ready_after_warm_up(tmp_path: Path, stand_in: StandIn, photo: bytes) -> None:
    write_bundle(tmp_path)
    stand_in.gate.clear()
    with serving(Settings(model_store=tmp_path), load=lambda *_, **__: stand_in) as live:
        assert live.client.get("/health/live").json() == {"status": "live"}
        wait_for(lambda: stand_in.calls == 1)
        for response in (live.client.get("/health/ready"), live.client.post("/detect", content=photo)):
            assert response.status_code == 503
            assert response.json()["type"] == "/problems/not-ready"
            assert "retry-after" in response.headers
        assert live.client.get("/models").json()["models"][0]["live"] is False
        assert live.metric("caries_ready") == 0
        stand_in.gate.set()
        live.wait_until_ready()
        assert stand_in.calls == 2
        assert live.client.get("/health/ready").json() == {"status": "ready"}
        assert live.metric("caries_ready") == 1
