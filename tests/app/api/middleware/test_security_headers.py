"""Headers for browsers: no access for other origins, as little trust as possible."""

import pytest

from app.api.middleware.security_headers import HEADERS
from tests.app.api.live_server import Live, StandIn, Start

ORIGIN = {"Origin": "https://elsewhere.example"}


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("GET", "/health/live", 200),
        ("POST", "/detect", 422),
        ("GET", "/nothing", 404),
        ("PUT", "/detect", 405),
        ("GET", "/metrics", 200),
        ("GET", "/", 307),
        ("GET", "/docs-static/swagger-ui.css", 200),
    ],
)
def test_every_answer_has_them(live: Live, method: str, address: str, status: int) -> None:
    response = live.client.request(method, address)
    assert response.status_code == status
    for name, value in HEADERS.items():
        assert response.headers.get_list(name) == [value], name


def test_photos_refusals_and_errors_have_them(start: Start, stand_in: StandIn, photo: bytes) -> None:
    with start(requests_per_minute=2) as live:
        answers = [live.client.post("/detect", content=photo)]
        stand_in.failure = RuntimeError("x")
        answers += [live.client.post("/detect", content=photo) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 500, 429]
        for answer in answers:
            for name, value in HEADERS.items():
                assert answer.headers.get_list(name) == [value], name


@pytest.mark.parametrize("address", ["/detect", "/models", "/health/live", "/docs", "/nothing"])
def test_cors_is_closed(live: Live, address: str) -> None:
    preflight = {**ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    for response in (
        live.client.get(address, headers=ORIGIN),
        live.client.post(address, headers=ORIGIN),
        live.client.options(address, headers=preflight),
    ):
        assert not [name for name in response.headers if name.startswith("access-control-")], address
        assert response.headers["cross-origin-resource-policy"] == "same-origin"
    assert live.client.options(address, headers=preflight).status_code in (404, 405)
