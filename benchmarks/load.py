"""A load generator: clients that each send their next request when the last one is answered.

    python -m benchmarks.load --url http://127.0.0.1:8000/detect --photo photo.jpg --clients 8 --seconds 5

Prints one JSON object: requests, errors (no answer, or a status other than 2xx), statuses, seconds, throughput (2xx
answers per second), p50_ms, p90_ms and p99_ms of those answers, bytes_mean of their bodies, and client_cpu_ms, the CPU
time of a request in this process, which shares the cores with the server. Requests are encoded before the clock starts,
and connections are kept open.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import json
import statistics
import subprocess
import sys
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BOUNDARY = "3f1c0c6a9d5e4b7f"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
LIMIT = 2**20
"""Bytes that a connection buffers; pictures are larger than asyncio's default of 64 KiB."""


def measure(url: str, photos: Sequence[Path], **options: Any) -> dict[str, Any]:
    """The figures of a load that runs in a separate process.

    Args:
        url: to post to.
        photos: sent in turn.
        options: of the command line, such as `clients=8` or `accept="image/png"`.

    Raises:
        subprocess.CalledProcessError: the process failed.
    """
    command = [sys.executable, "-m", "benchmarks.load", "--url", url, "--photo", *map(str, photos)]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def http_request(target: urllib.parse.SplitResult, headers: dict[str, str], body: bytes) -> bytes:
    """The bytes of a POST request."""
    path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    fields = {"Host": target.netloc, **headers, "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def form(parts: Sequence[bytes], field: str) -> bytes:
    """A multipart body with one file part for each photo."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="p.jpg"\r\n'
    head += "Content-Type: image/jpeg\r\n\r\n"
    return b"".join(head.encode() + part + b"\r\n" for part in parts) + f"--{BOUNDARY}--\r\n".encode()


class Connection:
    """One connection, reopened if the server closes it."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes) -> tuple[int, int]:
        """Status and body size of the answer, bytes; `(0, 0)` if there is none."""
        kept = self._streams is not None
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(*self._address, limit=LIMIT)
            reader, writer = self._streams
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            size = await _read_body(reader, head)
        except (OSError, asyncio.IncompleteReadError, ValueError):
            self.close()
            return await self.send(request) if kept else (0, 0)
        if b"connection: close" in head:
            self.close()
        return int(head.split(b" ", 2)[1]), size

    def close(self) -> None:
        """May be called twice."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> int:
    if b"transfer-encoding: chunked" not in head:
        return await _skip(reader, int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
    size = 0
    while length := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        size += await _skip(reader, length)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return size


async def _skip(reader: asyncio.StreamReader, length: int) -> int:
    left = length
    while left:
        data = await reader.read(min(left, LIMIT))
        if not data:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(data)
    return length


async def closed_loop(
    url: str, requests: Sequence[bytes], *, clients: int, seconds: float, count: int | None = None
) -> dict[str, Any]:
    """Send the requests in turn for `seconds`, or until `count` were sent."""
    target = urllib.parse.urlsplit(url)
    statuses: Counter[int] = Counter()
    times: list[float] = []
    sizes: list[int] = []
    turn: Iterator[bytes] = itertools.cycle(requests)
    left = itertools.repeat(None) if count is None else iter(range(count))
    started, cpu = time.perf_counter(), time.process_time()

    async def client() -> None:
        connection = Connection(target.hostname or "127.0.0.1", target.port or 80)
        while (count is not None or time.perf_counter() - started < seconds) and next(left, -1) != -1:
            begun = time.perf_counter()
            status, size = await connection.send(next(turn))
            statuses[status] += 1
            if 200 <= status < 300:
                times.append((time.perf_counter() - begun) * 1000)
                sizes.append(size)
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    took, sent = time.perf_counter() - started, sum(statuses.values())
    cuts = statistics.quantiles(times, n=100) if len(times) > 1 else [0.0] * 99
    return {
        "requests": sent,
        "errors": sent - len(times),
        "statuses": {str(status): number for status, number in sorted(statuses.items())},
        "seconds": round(took, 3),
        "throughput": round(len(times) / took, 2),
        **{f"p{percent}_ms": round(cuts[percent - 1], 2) for percent in (50, 90, 99)},
        "bytes_mean": round(statistics.fmean(sizes)) if sizes else 0,
        "client_cpu_ms": round((time.process_time() - cpu) * 1000 / max(1, sent), 3),
    }


def main() -> int:
    """Run the load and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--photo", type=Path, nargs="+", required=True, help="sent in turn")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--requests", type=int, help="send this many, regardless of --seconds")
    parser.add_argument("--warm-up", type=int, default=5, help="requests sent first and not counted")
    parser.add_argument("--accept", default="application/json")
    parser.add_argument(
        "--body",
        choices=("raw", "multipart", "burst", "json"),
        default="raw",
        help="burst: all photos in one form; json: --template, with PHOTO replaced by the photo in base64",
    )
    parser.add_argument("--template")
    parser.add_argument("--field", default="file", help="name of the multipart field")
    parser.add_argument("--type", default="image/jpeg", help="content type of a raw body")
    arguments = parser.parse_args()
    headers = {"Accept": arguments.accept}
    headers["Content-Type"] = {"raw": arguments.type, "json": "application/json"}.get(arguments.body, FORM)
    bodies = [path.read_bytes() for path in arguments.photo]
    if arguments.body == "burst":
        bodies = [form(bodies, arguments.field)]
    elif arguments.body == "json":
        bodies = [arguments.template.replace("PHOTO", base64.b64encode(body).decode()).encode() for body in bodies]
    elif arguments.body == "multipart":
        bodies = [form([body], arguments.field) for body in bodies]
    target = urllib.parse.urlsplit(arguments.url)
    requests = [http_request(target, headers, body) for body in bodies]

    async def run() -> dict[str, Any]:
        await closed_loop(arguments.url, requests, clients=1, seconds=60, count=arguments.warm_up)
        return await closed_loop(
            arguments.url, requests, clients=arguments.clients, seconds=arguments.seconds, count=arguments.requests
        )

    print(json.dumps(asyncio.run(run())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
