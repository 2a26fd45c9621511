"""Metrics of a server in use."""

from tests.app.api.live_server import Live, make_photo


def test_metrics_count(live: Live, photo: bytes) -> None:
    live.client.post("/detect", content=photo)
    live.client.post("/detect?format=json", content=photo)
    live.client.post("/detect", content=make_photo(32, 32))
    live.client.post("/detect", content=b"x")
    live.client.get("/no/such/address/of/a/patient")
    live.client.request("PROPFIND", "/detect")
    response = live.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    for line in (
        'caries_requests_total{method="POST",route="/detect",status="200"} 3.0',
        'caries_requests_total{method="POST",route="/detect",status="415"} 1.0',
        'caries_requests_total{method="GET",route="unmatched",status="404"} 1.0',
        'caries_requests_total{method="other",route="/detect",status="405"} 1.0',
        'caries_problems_total{type="unsupported-photo"} 1.0',
        'caries_verdicts_total{verdict="caries_suspected"} 2.0',
        'caries_verdicts_total{verdict="not_assessable"} 1.0',
        'caries_not_assessable_reasons_total{reason="too_small"} 1.0',
        'caries_stage_seconds_count{stage="inference"} 3.0',
        'caries_stage_seconds_count{stage="encode"} 2.0',
        "caries_score_count 6.0",
        "caries_queue_depth 0.0",
        "caries_ready 1.0",
    ):
        assert line in response.text
    assert 'caries_model_info{device="cpu",name="stand-in",runtime="litert"' in response.text
    assert "patient" not in response.text
    assert "PROPFIND" not in response.text
