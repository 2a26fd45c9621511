"""Start the server, post the example photos to it, and keep serving.

    python examples/post_examples.py [--host ADDRESS] [--port PORT] [--out annotated.png] [--exit]

Prints the JSON answer for every photo, writes the annotated picture of the first, and serves until Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples" / "img_train").glob("*.jpg"))
MAX_START_S = 60


def main() -> int:
    """Run the demonstration; 1 if the server does not start."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--out", type=Path, default=Path("annotated.png"))
    parser.add_argument("--exit", action="store_true", help="stop the server instead of keeping it running")
    arguments = parser.parse_args()
    # 0.0.0.0 means every network to a server, and is no address for a client.
    address = f"http://{'127.0.0.1' if arguments.host == '0.0.0.0' else arguments.host}:{arguments.port}"
    command = [sys.executable, "-m", "app", "serve", "--host", arguments.host, "--port", str(arguments.port)]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = subprocess.Popen([*command, "--model-store", str(ROOT / "model_store")], cwd=ROOT)
    try:
        if not wait_until_ready(server, address):
            print(f"the server at {address} did not become ready", file=sys.stderr)
            return 1
        for photo in EXAMPLES:
            answer = json.loads(post(address, photo, "application/json"))
            print(f"{photo.name}: {answer['verdict']}, {answer['teeth_seen']} teeth seen")
            print(json.dumps(answer))
        arguments.out.write_bytes(post(address, EXAMPLES[0], "image/png"))
        print(f"{arguments.out}: {EXAMPLES[0].name}, annotated")
        if arguments.exit:
            return 0
        print(f"serving at {address} (docs at {address}/docs); stop with Ctrl-C", flush=True)
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        server.terminate()
        server.wait()


def wait_until_ready(server: subprocess.Popen[Any], address: str) -> bool:
    """Whether the server is ready within `MAX_START_S` and before its process ends."""
    deadline = time.monotonic() + MAX_START_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/health/ready", timeout=5):
                return server.poll() is None
        except OSError:
            time.sleep(0.1)
    return False


def post(address: str, photo: Path, accept: str) -> bytes:
    """The body of the answer to a photo.

    Raises:
        urllib.error.HTTPError: the server refuses the photo.
    """
    request = urllib.request.Request(
        f"{address}/detect", photo.read_bytes(), {"Content-Type": "image/jpeg", "Accept": accept}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        body: bytes = response.read()
        return body


if __name__ == "__main__":
    sys.exit(main())
