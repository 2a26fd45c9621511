"""The id of every request, and its line in the log."""

import logging
import re

import pytest

from app.api.middleware.observe import HEADER
from tests.app.api.live_server import Live


@pytest.mark.parametrize("identity", ["visit-7", "A.b_c-1", "x" * 64])
def test_an_acceptable_id_is_sent_back(live: Live, photo: bytes, identity: str) -> None:
    assert live.client.post("/detect", content=photo, headers={HEADER: identity}).headers[HEADER] == identity
    assert live.client.get("/nothing", headers={HEADER: identity}).headers[HEADER] == identity


@pytest.mark.parametrize("identity", [None, "", "x" * 65, "Hong Gildong", "a\tb", "%0a"])
def test_an_unacceptable_id_is_replaced(live: Live, identity: str | None) -> None:
    headers = {} if identity is None else {HEADER: identity}
    first, second = (live.client.get("/health/live", headers=headers).headers[HEADER] for _ in range(2))
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert first != second


def test_a_request_is_logged_by_its_route(live: Live, photo: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="app.api.middleware.observe")
    live.client.post("/detect?lang=ko", content=photo)
    live.client.get("/patients/Hong?born=1970")
    live.client.request("PROPFIND", "/detect")
    live.client.get("/health/ready")
    said = [re.sub(r"[\d.]+ ms", "", message).strip() for message in caplog.messages]
    assert said == ["POST /detect 200", "GET unmatched 404", "other /detect 405"]
