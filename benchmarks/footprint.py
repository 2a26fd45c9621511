"""Start-up time and memory of the server process, and the size of its environment.

    .venv/serve/bin/python -m benchmarks.footprint [--runs 5] [--precision int8] [--model NAME]

Each run starts `caries serve` on a free port, waits for `/health/ready`, posts one example photo, and reads the memory
of the process and of its workers from /proc: resident and proportional set size after the answer, in MB (10**6 bytes).
Resident counts what processes share, such as libraries, in each of them; proportional counts it once.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from benchmarks.process_tree import processes

ROOT = Path(__file__).parent.parent


def measure(precision: str = "float32", model: str | None = None) -> dict[str, float]:
    """One server from start to end, with the model of this name, or the store's default, and precision."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.monotonic()
    command = [sys.executable, "-m", "app", "serve", "--port", str(port), "--model-store", str(ROOT / "model_store")]
    command += ["--precision", precision, "--log-level", "warning"]
    command += ["--model", model] if model else []
    server = subprocess.Popen(command, cwd=ROOT)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() - started > 60:
                    raise SystemExit("the server did not become ready") from None
                time.sleep(0.01)
        ready = time.monotonic() - started
        photo = min((ROOT / "examples" / "img_train").glob("*.jpg")).read_bytes()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/detect", photo, {"Content-Type": "image/jpeg", "Accept": "image/png"}
        )
        urllib.request.urlopen(request, timeout=60).read()
        sizes = {"Rss": 0.0, "Pss": 0.0}
        for pid in processes(server.pid):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                name, _, rest = line.partition(":")
                if name in sizes:
                    sizes[name] += int(rest.split()[0]) * 1024 / 1e6
        return {"seconds until ready": ready, "resident MB": sizes["Rss"], "proportional MB": sizes["Pss"]}
    finally:
        server.terminate()
        server.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--precision", choices=("float32", "int8"), default="float32")
    parser.add_argument("--model", help="of the store (default: the one that is served where none is named)")
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
