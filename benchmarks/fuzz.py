"""Send hostile requests to a server and check that it stays up, small and correct.

    python -m benchmarks.fuzz --count 100000 --seed 1 --out fuzz.json --failures failures/
    python -m benchmarks.fuzz --keys                                 the server has API keys, and most requests send one
    python -m benchmarks.fuzz --table fuzz.json                      print its counts as in docs/reliability.md

The server keeps photos for review. Every answer must be 2xx, or 4xx, 503 or 504 as problem+json from the server's own
table (under /v2, as the JSON of its protocol); no process may die; memory
must not grow; and a good photo must be answered at any time. The same seed sends the same requests in the same order.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11

from app.api.problems import BY_SLUG, MEDIA_TYPE, speaks_open_inference
from app.process.memory import FREE_PAGES_S
from app.records.key_file import KeyFile, Role
from benchmarks.hostile_requests import Case, Generator, request, with_key
from benchmarks.process_tree import memory_kib, processes
from benchmarks.serving import Server, serving

CLIENTS = 8
QUARTERS = 4
"""After each, memory is measured once every request is answered."""

MAX_GROWTH_KIB = 16 * 1024
"""Of the memory of all processes at rest, from the second quarter to the last."""

MAX_DECODE_S = 60.0
"""Within which the decoder of an abandoned HEIC photo ends."""


@dataclass(slots=True)
class Report:
    """The result of a run.

    Attributes:
        counts: requests by kind and status; status 0 is no answer.
        failures: the number of each case with a wrong answer, and a sentence.
        memory_kib: total of all processes at rest, after each quarter of the requests.
    """

    counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)
    memory_kib: list[int] = field(default_factory=list)


async def exchange(port: int, case: Case, wait_s: float) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to a case on a new connection; status 0 if there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(case.raw)
        if case.cut:
            writer.close()
            return 0, {}, b""
        connection = h11.Connection(h11.CLIENT)
        head = case.raw.split(b" ", 1)[0]
        # Tells the parser to expect an answer, and whether it has a body.
        connection.send(h11.Request(method="HEAD" if head == b"HEAD" else "GET", target="/", headers=[("Host", "a")]))
        connection.send(h11.EndOfMessage())
        status, headers, body = 0, {}, b""
        async with asyncio.timeout(wait_s):
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    data = await reader.read(2**16)
                    connection.receive_data(data)
                    if not data and status == 0:
                        return 0, {}, b""
                elif isinstance(event, h11.Response):
                    status = event.status_code
                    headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                    return status, headers, body
    except (ConnectionError, h11.RemoteProtocolError):
        return 0, {}, b""
    finally:
        writer.close()


def complaint(case: Case, status: int, headers: dict[str, str], body: bytes) -> str | None:
    """A sentence about a wrong answer; None if it is right."""
    if status == 0:
        return None if case.cut or case.kind == "protocol" else "no answer"
    if case.good and status != 200:
        return f"a good photo was answered {status}"
    if status < 400:
        return "a photo of a batch got an internal error" if b"/problems/internal-error" in body else None
    if status >= 500 and status not in (503, 504):
        return f"status {status}"
    if case.raw.startswith(b"HEAD "):
        return None
    if speaks_open_inference(case.path) and headers.get("content-type") == "application/json":
        return None if "error" in json.loads(body) else f"status {status} has no error of the Open Inference Protocol"
    if headers.get("content-type") != MEDIA_TYPE:
        return f"status {status} is of type {headers.get('content-type')}"
    try:
        problem = json.loads(body)
        row = BY_SLUG[problem["type"].removeprefix("/problems/")]
    except (ValueError, KeyError, TypeError) as error:
        return f"status {status} is not in the table of problems: {error!r}"
    if speaks_open_inference(case.path) and row.slug != "malformed-request":
        return f"status {status} is not an error of the Open Inference Protocol"
    right = (problem["title"], problem["status"]) == (row.title, status) and problem["detail"]
    if (right and "x-request-id" in headers) or row.slug == "malformed-request":
        return None
    return f"status {status} differs from the table of problems"


def fuzz(count: int, seed: int, failures: Path | None = None, *, with_keys: bool = False) -> Report:
    """Send `count` cases to a server; requests that are answered wrongly are saved in the folder `failures`."""
    with tempfile.TemporaryDirectory() as name:
        folder, key = Path(name), None
        flags = ["--batches-open", str(CLIENTS), "--reviews", str(folder / "reviews")]
        (folder / "token").write_text("token")
        flags += ["--label-studio", "http://127.0.0.1:1", "--label-studio-token", str(folder / "token")]
        if with_keys:
            key = KeyFile(folder / "keys.json").add("fuzz", Role.ADMIN)[1]
            flags += ["--keys", str(folder / "keys.json")]
        with serving(*flags) as server:
            return asyncio.run(_fuzz(server, count, Generator(seed, key), seed, failures, key))


async def _fuzz(
    server: Server, count: int, generator: Generator, seed: int, failures: Path | None, key: str | None
) -> Report:
    report, valid, port = Report(), request(generator.good), server.port
    good = Case("good", with_key(valid, key) if key else valid, good=True)
    while (await exchange(port, good, 30))[0] != 200:
        await asyncio.sleep(0.1)
    before, number = processes(server.pid), 0

    async def client(end: int) -> None:
        nonlocal number
        while number < end:
            mine, case = number, generator.case()
            number += 1
            try:
                status, headers, body = await exchange(port, case, 60)
                wrong = complaint(case, status, headers, body)
            except TimeoutError:
                status, wrong = 0, "no answer within 60 s"
            report.counts[case.kind, status] += 1
            if wrong is not None:
                report.failures.append((mine, f"{case.kind}: {wrong}"))
                if failures is not None:
                    failures.mkdir(parents=True, exist_ok=True)
                    (failures / f"{seed}-{mine}.http").write_bytes(case.raw)

    for quarter in range(QUARTERS):
        await asyncio.gather(*(client(count * (quarter + 1) // QUARTERS) for _ in range(CLIENTS)))
        report.memory_kib.append(await memory_at_rest(before))
    ends = time.monotonic() + MAX_DECODE_S
    while (after := processes(server.pid)) != before and time.monotonic() < ends:
        await asyncio.sleep(0.1)
    if after != before:
        report.failures.append((count, f"processes were {before} and are {after}"))
    if report.memory_kib[3] - report.memory_kib[1] > MAX_GROWTH_KIB:
        report.failures.append((count, f"memory grew: {report.memory_kib} KiB in the four quarters"))
    if (await exchange(port, good, 30))[0] != 200:
        report.failures.append((count, "a good photo is not answered 200 at the end"))
    return report


async def memory_at_rest(pids: list[int]) -> int:
    """The lowest memory of processes, KiB, over the period in which the server returns its free pages once.

    The lowest, since photos whose clients disconnected take memory until they are done.
    """
    samples = []
    ends = time.monotonic() + FREE_PAGES_S + 1
    while time.monotonic() < ends:
        samples.append(memory_kib(pids))
        await asyncio.sleep(0.2)
    return min(samples)


def table(result: dict[str, Any]) -> str:
    """The counts of a run as Markdown: a row for each kind, then a summary line."""
    lines = ["| input | answers, by status |", "|---|---|"]
    for kind, statuses in result["statuses"].items():
        lines.append(f"| {kind} | {', '.join(f'{status}: {times:,}' for status, times in statuses.items())} |")
    quarters = ", ".join(str(round(kib / 1024)) for kib in result["memory_kib"])
    good = sum(result["statuses"].get("good", {}).values())
    lines += [
        "",
        f"{result['requests']:,} requests of seed {result['seed']} in {result['seconds']:,} s: "
        f"{len(result['failures'])} wrong answers; {good:,} good photos; at rest {quarters} MiB in the four quarters.",
    ]
    return "\n".join(lines)


def main() -> int:
    """Print the counts; 1 if an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the counts as JSON")
    parser.add_argument("--failures", type=Path, help="folder for the requests with wrong answers")
    parser.add_argument("--keys", action="store_true", help="fuzz a server with API keys")
    parser.add_argument("--table", type=Path, help="send nothing; print a file written by --out as Markdown")
    arguments = parser.parse_args()
    if arguments.table:
        print(table(json.loads(arguments.table.read_text(encoding="utf-8"))))
        return 0
    started = time.monotonic()
    report = fuzz(arguments.count, arguments.seed, arguments.failures, with_keys=arguments.keys)
    statuses: dict[str, dict[str, int]] = {}
    for (kind, status), times in sorted(report.counts.items()):
        statuses.setdefault(kind, {})[str(status)] = times
    result = {
        "requests": sum(report.counts.values()),
        "seed": arguments.seed,
        "seconds": round(time.monotonic() - started),
        "statuses": statuses,
        "memory_kib": report.memory_kib,
        "failures": report.failures,
    }
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
