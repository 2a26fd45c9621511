"""`caries detect --ray` on an archive of rendered photos with copies. Run it with a Python that has the extra `ray`.

    python -m benchmarks.archive compare --photos 10000 --out compare.json
    python -m benchmarks.archive resume --photos 100000 --out resume.json

`compare` measures photos a second and core against `caries detect` on the same cores, with annotated JPEGs. `resume`
kills the command twice, at a third and at two thirds, reruns it, checks that every photo is in the output once and that
no finished shard was screened again, and samples the private memory of all processes each second.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import photos
from benchmarks.process_tree import children, memory_kib

CORES = len(os.sched_getaffinity(0))
RENDERED = 24
"""Different photos of an archive; the others are links to them."""

FOLDER = photos.ROOT / "build" / "archive"
COMMAND = [sys.executable, "-m", "app", "detect", "--precision", "int8"]
RAY = ["--ray", "local"]


def main() -> None:
    """Run a measurement, print it and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurement", choices=("compare", "resume"))
    parser.add_argument("--photos", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parsed = parser.parse_args()
    archive = FOLDER / "photos"
    write_archive(archive, parsed.photos)
    result = {"photos": parsed.photos, "cores": CORES, "size": photos.name_of(photos.MEDIUM)}
    result |= compare(archive, parsed.photos) if parsed.measurement == "compare" else resume(archive, parsed.photos)
    parsed.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({name: value for name, value in result.items() if name != "samples"}, indent=2))


def write_archive(folder: Path, count: int) -> None:
    """Replace the folder by one of `count` photos, of which `RENDERED` differ."""
    shutil.rmtree(folder, ignore_errors=True)
    rendered = photos.rendered(photos.MEDIUM, min(count, RENDERED))
    for number in range(count):
        path = folder / f"{number // 1000:03d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(rendered[number % len(rendered)])


def compare(archive: Path, count: int) -> dict[str, Any]:
    """Photos a second and core with and without Ray, and their ratio; the start of the cluster is included."""
    rates = {}
    for name, options in (("detect", []), ("ray", RAY)):
        out = FOLDER / name
        shutil.rmtree(out, ignore_errors=True)
        started = time.perf_counter()
        subprocess.run([*COMMAND, str(archive), "--out", str(out), "--format", "jpeg", *options], check=True)
        rates[name] = count / (time.perf_counter() - started) / CORES
    return {"photos_per_second_and_core": rates, "ratio": rates["ray"] / rates["detect"]}


def resume(archive: Path, count: int) -> dict[str, Any]:
    """Kill and rerun; see the module."""
    out = FOLDER / "resumed"
    shutil.rmtree(out, ignore_errors=True)
    command = [*COMMAND, str(archive), "--out", str(out), *RAY]
    samples: list[list[int]] = []
    finished: dict[str, int] = {}
    for stop_at in (count / 3, 2 * count / 3, None):
        process = subprocess.Popen(command)
        samples.append([])
        while process.poll() is None:
            samples[-1].append(memory_kib(descendants(process.pid), "RssAnon"))
            if stop_at is not None and len(parts(out)) * photos_per_shard(out) >= stop_at:
                process.send_signal(signal.SIGKILL)
                process.wait()
                break
            time.sleep(1)
        time.sleep(5)  # the processes of the cluster end with the command
        assert (process.returncode == 0) == (stop_at is None), process.returncode
        now = parts(out)
        assert {name: now[name] for name in finished} == finished, "a finished shard was screened again"
        finished = now
    from pyarrow import parquet

    rows = Counter(parquet.read_table(out / "photos", columns=["file"])["file"].to_pylist())
    assert len(rows) == rows.total() == count, f"{len(rows)} photos in {rows.total()} rows"
    return {
        "runs": [{"seconds": len(run), "peak_mib": max(run) / 1024, "growth": growth(run)} for run in samples],
        "samples": samples,
    }


def growth(samples: Sequence[int]) -> float:
    """Median of the last quarter of the samples by that of the second: the first has the start in it."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    return statistics.median(late) / statistics.median(early)


def descendants(pid: int) -> list[int]:
    """A process, its children, theirs and so on."""
    return [pid, *(found for child in children(pid) for found in descendants(child))]


def parts(out: Path) -> dict[str, int]:
    """Name and time of every finished part."""
    return {path.name: path.stat().st_mtime_ns for path in out.glob("photos/shard-*.parquet")}


def photos_per_shard(out: Path) -> int:
    """Photos of a shard, 1 until there is a plan."""
    plan = out / "plan.json"
    return len(json.loads(plan.read_bytes())["shards"][0]) if plan.exists() else 1


if __name__ == "__main__":
    main()
