"""Start-up time and memory of the server, and the size of its environment.

    .venv/serve/bin/python -m benchmarks.footprint [--runs 5] [--precision int8] [--model NAME]

Each run starts `caries serve`, posts one example photo, and reads the memory of all its processes from /proc after the
answer, in MB (10**6 bytes). Resident memory counts shared pages, such as libraries, in every process; proportional
memory counts them once. `CARIES_*` variables of the environment apply.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import urllib.request
from pathlib import Path

from benchmarks.process_tree import processes
from benchmarks.serving import ROOT, serving


def measure(precision: str = "float32", model: str | None = None) -> dict[str, float]:
    """One run with this model, by default that of the store, and this precision."""
    settings = {name: value for name, value in os.environ.items() if name.startswith("CARIES_")}
    photo = min((ROOT / "examples" / "img_train").glob("*.jpg")).read_bytes()
    started = time.monotonic()
    with serving("--precision", precision, *(["--model", model] if model else []), settings=settings) as server:
        ready_s = time.monotonic() - started
        headers = {"Content-Type": "image/jpeg", "Accept": "image/png"}
        urllib.request.urlopen(urllib.request.Request(f"{server.url}/detect", photo, headers), timeout=60).read()
        sizes = {"Rss": 0.0, "Pss": 0.0}
        for pid in processes(server.pid):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
                name, _, rest = line.partition(":")
                if name in sizes:
                    sizes[name] += int(rest.split()[0]) * 1024 / 1e6
    return {"seconds until ready": ready_s, "resident MB": sizes["Rss"], "proportional MB": sizes["Pss"]}


def main() -> int:
    """Print medians and single values."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--precision", choices=("auto", "float32", "int8"), default="float32")
    parser.add_argument("--model", help="name in the store (default: the one served by default)")
    arguments = parser.parse_args()
    runs = [measure(arguments.precision, arguments.model) for _ in range(arguments.runs)]
    for name in runs[0]:
        values = [run[name] for run in runs]
        print(f"{name}: median {statistics.median(values):.2f} of {', '.join(f'{value:.2f}' for value in values)}")
    environment = Path(sys.prefix)
    size = sum(path.lstat().st_size for path in environment.rglob("*") if not path.is_symlink() and path.is_file())
    print(f"environment: {size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
