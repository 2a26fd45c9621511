"""Sends the largest photos that are allowed, several at once, to a real server and looks at what memory that takes.

    python -m benchmarks.large_photos --count 8

The answers are annotated PNGs, which need all pixels. Prints how many were answered how, and the most memory that the
server had, its workers aside; JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import re
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from app.settings import Settings
from benchmarks.fuzz import serving

WAIT_S = 300.0


def largest_photo(pixels: int) -> bytes:
    """A JPEG of grain, square, of nearly so many pixels."""
    side = math.isqrt(pixels)
    grain = np.random.default_rng(0).integers(60, 200, (512, 512, 3), np.uint8)
    tiles = -(-side // 512)
    out = io.BytesIO()
    Image.fromarray(np.tile(grain, (tiles, tiles, 1))[:side, :side]).save(out, "JPEG", quality=60)
    return out.getvalue()


def peak_mib(pid: int) -> int:
    """The most resident memory that a process ever had."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s+(\d+)", text)[0]) // 1024


def measure(count: int, pixels: int = Settings().max_pixels) -> dict[str, object]:
    """Posts `count` photos of `pixels` at once."""
    photo = largest_photo(pixels)
    with serving() as (port, process), httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_S) as client:
        while client.get("/health/ready").status_code != 200:
            time.sleep(0.1)
        idle = peak_mib(process.pid)
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
            "peak_mib": peak_mib(process.pid),
        }


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=8)
    print(json.dumps(measure(parser.parse_args().count)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
