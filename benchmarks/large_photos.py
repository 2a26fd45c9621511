"""The memory of a server that receives several photos of the largest allowed size at the same time.

    python -m benchmarks.large_photos [--count 8]

The answers are annotated PNGs, which need all pixels. Prints JSON: the number of answers by status, and the peak memory
of the server's first process, without its workers.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
from PIL import Image

from app.settings import Settings
from benchmarks.process_tree import memory_kib
from benchmarks.serving import serving

MAX_WAIT_S = 300.0


def largest_photo(pixels: int) -> bytes:
    """A square JPEG of random grain with at most `pixels` pixels."""
    side = math.isqrt(pixels)
    grain = np.random.default_rng(0).integers(60, 200, (512, 512, 3), np.uint8)
    tiles = -(-side // 512)
    out = io.BytesIO()
    Image.fromarray(np.tile(grain, (tiles, tiles, 1))[:side, :side]).save(out, "JPEG", quality=60)
    return out.getvalue()


def peak_mib(pid: int) -> int:
    """Peak resident memory of a process, MiB."""
    return memory_kib([pid], "VmHWM") // 1024


def measure(count: int, pixels: int = Settings().max_pixels) -> dict[str, Any]:
    """Post `count` photos of `pixels` pixels at the same time."""
    photo = largest_photo(pixels)
    with serving() as server, httpx.Client(base_url=server.url, timeout=MAX_WAIT_S) as client:
        idle = peak_mib(server.pid)
        with ThreadPoolExecutor(count) as senders:
            statuses = Counter(
                answer.status_code
                for answer in senders.map(lambda _: client.post("/detect", content=photo), range(count))
            )
        return {
            "photos": count,
            "megapixels": round(pixels / 1e6),
            "statuses": {str(status): times for status, times in sorted(statuses.items())},
            "idle_mib": idle,
            "peak_mib": peak_mib(server.pid),
        }


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=8)
    print(json.dumps(measure(parser.parse_args().count)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
