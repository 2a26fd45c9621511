"""Unexpected errors."""

import pytest

from tests.app.api.live_server import Live, StandIn, assert_problem

pytestmark = pytest.mark.slow


def test_a_failing_detector_gives_500_and_the_server_keeps_running(live: Live, stand_in: StandIn, photo: bytes) -> None:
    stand_in.failure = RuntimeError("/srv/secret")
    assert "secret" not in str(assert_problem(live.client.post("/detect", content=photo), 500, "internal-error"))
    stand_in.failure = None
    assert live.client.post("/detect", content=photo).status_code == 200
