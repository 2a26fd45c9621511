"""What the Open Inference Protocol costs on top of `POST /detect`: pairs of requests with one photo from one client.

    python -m benchmarks.protocols [--pairs 500] [--photo photo.jpg]

Prints one JSON object: `pairs`, `detect_ms` and `infer_ms`, the medians of both, and `more_ms`, the median difference
of a pair. Exits with status 1 if that is more than `MAX_MORE_MS`. The requests of a pair take turns in coming first.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.api.open_inference import ELEMENT, HEADER_LENGTH
from benchmarks.serving import ROOT, Server, serving

PHOTO = ROOT / "examples" / "img_train" / "Folder_0001.jpg"
MAX_MORE_MS = 1.0
WARM_UP = 10
"""Pairs that are not counted."""


def infer_request(photo: bytes) -> tuple[bytes, dict[str, str]]:
    """The body of a request with binary tensors both ways, and its headers."""
    tensor = ELEMENT.pack(len(photo)) + photo
    photo_input = {"name": "photo", "shape": [1], "datatype": "BYTES"}
    content = {
        "parameters": {"binary_data_output": True},
        "inputs": [{**photo_input, "parameters": {"binary_data_size": len(tensor)}}],
    }
    head = json.dumps(content).encode()
    return head + tensor, {HEADER_LENGTH: str(len(head)), "Content-Type": "application/octet-stream"}


def measure(server: Server, photo: bytes, pairs: int) -> dict[str, Any]:
    """The figures of so many pairs."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", "/models")
    models = json.load(connection.getresponse())["models"]
    (model,) = (entry["name"] for entry in models if entry["default"])
    requests = [
        ("/detect", photo, {"Content-Type": "image/jpeg", "Accept": "application/json"}),
        (f"/v2/models/{model}/infer", *infer_request(photo)),
    ]
    times: list[list[float]] = [[], []]
    for pair in range(WARM_UP + pairs):
        for which in (0, 1) if pair % 2 else (1, 0):
            milliseconds = _time(connection, *requests[which])
            if pair >= WARM_UP:
                times[which].append(milliseconds)
    connection.close()
    differences = [infer - detect for detect, infer in zip(*times, strict=True)]
    detect_ms, infer_ms, more_ms = (round(statistics.median(values), 3) for values in (*times, differences))
    return {"pairs": pairs, "detect_ms": detect_ms, "infer_ms": infer_ms, "more_ms": more_ms}


def _time(connection: http.client.HTTPConnection, path: str, body: bytes, headers: Mapping[str, str]) -> float:
    """Milliseconds of one request."""
    started = time.perf_counter()
    connection.request("POST", path, body, dict(headers))
    response = connection.getresponse()
    content = response.read()
    milliseconds = (time.perf_counter() - started) * 1000
    if response.status != 200:
        raise RuntimeError(f"{path} answered {response.status}: {content[:200]!r}")
    return milliseconds


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--photo", type=Path, default=PHOTO)
    arguments = parser.parse_args()
    with serving() as server:
        figures = measure(server, arguments.photo.read_bytes(), arguments.pairs)
    print(json.dumps(figures))
    return int(figures["more_ms"] > MAX_MORE_MS)


if __name__ == "__main__":
    sys.exit(main())
