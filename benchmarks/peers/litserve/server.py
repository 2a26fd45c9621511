"""LitServe: `python -m benchmarks.peers.litserve.server PORT best|quick`."""

from __future__ import annotations

import base64
import os
import sys
from typing import Any

import litserve

from benchmarks.peers.detector import Detector, Plain, Tuned


class Best(litserve.LitAPI):  # type: ignore[misc]
    """JSON with the photo in base64; one worker process with one thread for each core."""

    detector: Detector

    def setup(self, device: str) -> None:
        self.detector = Tuned()

    def decode_request(self, request: dict[str, str]) -> bytes:
        return base64.b64decode(request["image_data"])

    def predict(self, data: bytes) -> dict[str, Any]:
        return self.detector.answer(data)

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


class Quick(Best):
    """As the quick start."""

    def setup(self, device: str) -> None:
        self.detector = Plain()


if __name__ == "__main__":
    port, how = int(sys.argv[1]), sys.argv[2]
    if how == "best":
        cores = len(os.sched_getaffinity(0))
        server = litserve.LitServer(Best(), accelerator="cpu", workers_per_device=cores, fast_queue=False)
        server.run(port=port, num_api_servers=1, generate_client_file=False, log_level="warning")
    else:
        litserve.LitServer(Quick(), accelerator="cpu").run(port=port, generate_client_file=False)
