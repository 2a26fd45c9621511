"""CPU time of a request by process and library, with Linux's `perf` (Debian: linux-perf).

    python -m benchmarks.cpu_profile [--clients 8] [--seconds 8] [--accept application/json] [--photo 640x480]

Prints a table: CPU milliseconds per request in the server's first process and in its workers, by library. `libpython`
is all Python code.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import load, photos
from benchmarks.process_tree import cpu_s, processes
from benchmarks.serving import serving

MIN_SHARE = 0.02
"""Libraries with a smaller share of a process's time are not listed."""


def shares(report: str) -> dict[str, float]:
    """Library to its share of the samples, 0 to 1, in the output of `perf report --sort dso`.

    Build suffixes are dropped: `_jpeg.cpython-311-x86_64-linux-gnu.so` is `_jpeg`.
    """
    found: dict[str, float] = {}
    for line in report.splitlines():
        match = re.match(r"\s*([\d.]+)%\s+(\S+)", line)
        if match:
            library = match[2] if match[2].startswith("[") else re.split(r"-[0-9a-f]{8}|\.", match[2])[0]
            found[library] = found.get(library, 0.0) + float(match[1]) / 100
    return found


def record(pids: list[int], seconds: float, folder: Path) -> dict[int, dict[str, float]]:
    """Sample the processes; the shares of each."""
    runs = {}
    for pid in pids:
        out = folder / f"{pid}.data"
        command = ["perf", "record", "--quiet", "--output", str(out), "--pid", str(pid), "--", "sleep", str(seconds)]
        runs[pid] = (out, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    found = {}
    for pid, (out, run) in runs.items():
        run.wait()
        report = ["perf", "report", "--input", str(out), "--sort", "dso", "--stdio"]
        found[pid] = shares(subprocess.run(report, capture_output=True, text=True).stdout)
    return found


def table(rows: dict[str, dict[str, float]]) -> str:
    """Markdown: process, library, milliseconds a request."""
    lines = ["| process | library | CPU ms a request |", "|---|---|---|"]
    for process, by_library in rows.items():
        total = sum(by_library.values())
        lines.append(f"| {process} | all | {total:.2f} |")
        for library, milliseconds in sorted(by_library.items(), key=lambda item: -item[1]):
            if milliseconds >= MIN_SHARE * total:
                lines.append(f"| | {library} | {milliseconds:.2f} |")
    return "\n".join(lines)


def main() -> int:
    """Print the table; 1 without perf."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--accept", default="application/json")
    parser.add_argument("--photo", default=photos.name_of(photos.SMALL), choices=[*map(photos.name_of, photos.SIZES)])
    arguments = parser.parse_args()
    if shutil.which("perf") is None:
        print("perf is not installed (Debian: linux-perf)", file=sys.stderr)
        return 1
    chosen = photos.named()[arguments.photo]
    options = {"clients": arguments.clients, "accept": arguments.accept}
    with serving() as server, tempfile.TemporaryDirectory() as folder:
        load.measure(f"{server.url}/detect", chosen, seconds=1, **options)
        pids = processes(server.pid)
        before = {pid: cpu_s([pid]) for pid in pids}
        sampling = load.measure(f"{server.url}/detect", chosen, seconds=4, warm_up=0, **options)
        spent = {pid: (cpu_s([pid]) - before[pid]) * 1000 / sampling["requests"] for pid in pids}
        command = [sys.executable, "-m", "benchmarks.load", "--url", f"{server.url}/detect", "--photo"]
        command += [*map(str, chosen), "--clients", str(arguments.clients), "--accept", arguments.accept]
        command += ["--seconds", str(arguments.seconds + 2)]
        with_load = subprocess.Popen(command, cwd=load.ROOT, stdout=subprocess.DEVNULL)
        found = record(pids, arguments.seconds, Path(folder))
        with_load.wait()
    rows: dict[str, dict[str, float]] = {}
    for pid, by_library in found.items():
        process = "server" if pid == server.pid else "workers"
        of_process = rows.setdefault(process, {})
        for library, share in by_library.items():
            of_process[library] = of_process.get(library, 0.0) + share * spent[pid]
    print(f"{arguments.clients} clients, {sampling['throughput']:.1f} photos a second, {arguments.photo}\n")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
