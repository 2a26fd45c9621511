"""Clients that leave before their answer."""

import socket
import threading

import pytest

from tests.app.api.live_server import StandIn, Start, wait_for


@pytest.mark.parametrize("body", ["all", "half"])
def test_a_client_that_leaves(start: Start, stand_in: StandIn, photo: bytes, body: str) -> None:
    with start() as live:
        stand_in.gate.clear()
        calls = stand_in.calls
        blocker = threading.Thread(target=lambda: live.client.post("/detect", content=photo))
        blocker.start()
        wait_for(lambda: stand_in.calls == calls + 1)
        sent = photo if body == "all" else photo[:100]
        with socket.create_connection(("127.0.0.1", live.port)) as client:
            client.sendall(b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(photo) + sent)
            wait_for(lambda: live.service.screener.admission.callers == 2)
        wait_for(lambda: live.service.screener.admission.callers == 1)
        stand_in.gate.set()
        blocker.join()
        assert live.client.post("/detect", content=photo).status_code == 200
        assert stand_in.calls == calls + 2, "the photo of the client that left was worked on"
        assert live.metric("caries_problems_total", type="internal-error") == 0
        assert live.metric("caries_disconnected_total") == 1
