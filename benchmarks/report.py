"""Write `benchmarks/RESULTS.md` from the figures of the benchmarks.

    python -m benchmarks.report --results build/benchmarks [--out benchmarks/RESULTS.md]

The folder contains `floor.json`, `server.json`, `peers.json` and `scaled_decode.json`, each written by the module of
that name. Parts and goals whose file is missing are reported as not measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.floor import CORES
from training.machine import installed_version, this_machine

ROOT = Path(__file__).parents[1]
PARTS = ("floor", "server", "peers", "scaled_decode")
PACKAGES = ("ai-edge-litert", "pillow", "simplejpeg", "isal", "cykooz-resizer", "fastapi", "uvicorn", "tensorflow")

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Goal:
    """A row of the table of goals.

    Attributes:
        name: the goal in words.
        measured: the figures that decide, or why there are none.
        reached: None if there are no figures.
    """

    name: str
    measured: str
    reached: bool | None


class Missing(Exception):
    """A figure that a goal needs was not measured."""


def goals(results: Figures) -> list[Goal]:
    """Every goal, measured or not."""
    judged = []
    for name, judge in (
        ("JSON, 640x480, 8 clients: throughput at least 0.90 of the floor's", _throughput),
        ("JSON, 640x480, 8 clients: p99 at most 2 times p50", _tail),
        ("JSON, 640x480, one client: p50 at most the floor's with all cores plus 2 ms", _latency),
        ("annotated PNG, 1600x1200, one client: at most 1.15 times the floor", _png),
        ("PNG: at most 1.3 times the bytes of Pillow's default", _png_bytes),
        ("JSON, 12 megapixels: at most 60 ms more than 640x480, or 1.3 times a scaled decode of the JPEG", _large),
        ("AP@.5 on the real photos, scaled against full decoding: within 0.003", _scaled),
        ("JSON throughput: ahead of every peer in its best configuration", _peers),
        ("annotated PNG: at least 4 times the throughput of the obvious server", _obvious),
        ("a burst of 8 photos through /detect/batch: at least 1.8 times the throughput of one core", _batch),
        ("start to ready: at most 1.5 s", _start),
        ("memory: at most 250 MB resident", _memory),
        ("memory from request 1,000 on: within 2 %", _flat),
        ("TensorFlow, 32 clients: batches at least 1.3 times the throughput of one by one", _batching),
    ):
        try:
            measured, reached = judge(results)
            judged.append(Goal(name, measured, reached))
        except Missing as missing:
            judged.append(Goal(name, f"not measured: {missing}", None))
    return judged


def _of(results: Figures, *path: str) -> Any:
    found: Any = results
    for step in path:
        if not isinstance(found, dict) or found.get(step) is None:
            raise Missing(" / ".join(path))
        found = found[step]
    return found


def _detect(results: Figures, condition: str) -> Figures:
    figures: Figures = _of(results, "server", "detect", condition)
    return figures


def _throughput(results: Figures) -> tuple[str, bool]:
    served = _detect(results, "json 640x480 8 raw")["throughput"]
    floor = _detect(results, "floor json 640x480 throughput")["throughput"]
    return f"{served:.1f} of {floor:.1f} photos a second: {served / floor:.3f}", served >= 0.9 * floor


def _tail(results: Figures) -> tuple[str, bool]:
    served = _detect(results, "json 640x480 8 raw")
    return (
        f"{served['p99_ms']:.1f} ms of {served['p50_ms']:.1f} ms: {served['p99_ms'] / served['p50_ms']:.2f}",
        served["p99_ms"] <= 2 * served["p50_ms"],
    )


def _latency(results: Figures) -> tuple[str, bool]:
    served = _detect(results, "json 640x480 1 raw")["p50_ms"]
    floor = _detect(results, "floor json 640x480 latency")["p50_ms"]
    return f"{served:.1f} ms, floor {floor:.1f} ms: {served - floor:+.1f} ms", served <= floor + 2


def _png(results: Figures) -> tuple[str, bool]:
    served = _detect(results, "png 1600x1200 1 raw")["p50_ms"]
    floor = _detect(results, "floor png 1600x1200 latency")["p50_ms"]
    return f"{served:.1f} ms, floor {floor:.1f} ms: {served / floor:.2f}", served <= 1.15 * floor


def _png_bytes(results: Figures) -> tuple[str, bool]:
    ratios = {
        size: sizes["ours"] / sizes["Pillow default"] for size, sizes in _of(results, "floor", "png_bytes").items()
    }
    return ", ".join(f"{size} {ratio:.2f}" for size, ratio in ratios.items()), max(ratios.values()) <= 1.3


def _large(results: Figures) -> tuple[str, bool]:
    large = _detect(results, "json 4032x3024 1 raw")["p50_ms"]
    small = _detect(results, "json 640x480 1 raw")["p50_ms"]
    scaled = _of(results, "floor", "stages", "4032x3024", "decode, scaled, simplejpeg alone")["ms"]
    ratio = (large - small) / scaled
    return (
        f"{large:.1f} ms, {large - small:.1f} ms more; a scaled decode takes {scaled:.1f} ms: {ratio:.2f}",
        large - small <= 60 or ratio <= 1.3,
    )


def _scaled(results: Figures) -> tuple[str, bool]:
    found = _of(results, "scaled_decode")
    return (
        f"{found['scaled']:.4f} against {found['full']:.4f}: {found['difference']:+.4f}",
        abs(found["difference"]) <= 0.003,
    )


def _run_peers(results: Figures) -> list[Figures]:
    peers = [peer for peer in _of(results, "peers") if not peer.get("error")]
    if not peers:
        raise Missing("no peer ran")
    return peers


def _best(by_clients: Figures) -> float:
    return max(float(figures["throughput"]) for figures in by_clients.values())


def _peers(results: Figures) -> tuple[str, bool]:
    ratios = {
        f"{peer['peer']}{', quick start' if peer['quick_start'] else ''}": _best(peer["ours"]["json"])
        / _best(peer["json"])
        for peer in _run_peers(results)
    }
    text = ", ".join(f"{name} {ratio:.2f}" for name, ratio in sorted(ratios.items(), key=lambda item: item[1]))
    return f"ours to theirs: {text}", min(ratios.values()) > 1


def _obvious(results: Figures) -> tuple[str, bool]:
    peers = [peer for peer in _run_peers(results) if peer.get("png")]
    if not peers:
        raise Missing("the obvious server")
    ratio = min(_best(peer["ours"]["png"]) / _best(peer["png"]) for peer in peers)
    return f"{ratio:.1f} times", ratio >= 4


def _batch(results: Figures) -> tuple[str, bool]:
    on_all, on_one = (
        _of(results, "server", "batch", f"batch, {cores}")["throughput"] for cores in ("all cores", "one core")
    )
    return f"{on_all:.2f} of {on_one:.2f} bursts a second: {on_all / on_one:.2f}", on_all >= 1.8 * on_one


def _start(results: Figures) -> tuple[str, bool]:
    seconds = _of(results, "server", "start", "seconds until ready")
    return f"{seconds:.2f} s", seconds <= 1.5


def _memory(results: Figures) -> tuple[str, bool]:
    resident = _of(results, "server", "start", "resident MB")
    soaked = max(_of(results, "server", "soak", "memory_mb").values())
    loaded = max(figures.get("memory_mb", 0) for figures in _of(results, "server", "detect").values())
    return (
        f"{resident:.0f} MB after the first answer, {soaked:.0f} MB under photos of a single size, "
        f"at most {loaded:.0f} MB under the mixed load below",
        max(resident, soaked, loaded) <= 250,
    )


def _flat(results: Figures) -> tuple[str, bool]:
    found = _of(results, "server", "soak")
    return (
        ", ".join(f"{count} requests {mb:.1f} MB" for count, mb in found["memory_mb"].items())
        + f": {(found['growth'] - 1) * 100:+.1f} %",
        found["growth"] <= 1.02,
    )


def _batching(results: Figures) -> tuple[str, bool]:
    batched, single = (
        _of(results, "server", "batching", f"tensorflow, {how}")["throughput"] for how in ("batched", "one by one")
    )
    return f"{batched:.1f} of {single:.1f} photos a second: {batched / single:.2f}", batched >= 1.3 * single


def markdown(results: Figures, *, commit: str) -> str:
    """The report."""
    versions = ", ".join(f"{name} {installed_version(name)}" for name in PACKAGES if installed_version(name))
    lines = [
        "# Benchmark results",
        "",
        f"`make bench` at commit {commit}, on {this_machine()}. {versions}.",
        "",
        "The load runs on the same cores as the server. The floor is the same calls without a server: one process with",
        f"all cores for latency, {CORES} processes of one thread each for throughput. Conditions alternate; figures",
        "are medians over the rounds. Photos are rendered (`benchmarks/photos.py`) except those named `real`. The",
        "model is int8. There was no GPU.",
        "",
        "## Goals",
        "",
        "| goal | measured | reached |",
        "|---|---|---|",
    ]
    marks = {True: "yes", False: "**no**", None: "-"}
    lines += [f"| {goal.name} | {goal.measured} | {marks[goal.reached]} |" for goal in goals(results)]
    for part, table in (("floor", _floor_table), ("server", _server_table), ("peers", _peers_table)):
        lines += ["", f"## {part.capitalize()}", ""]
        lines += table(results[part]) if part in results else [f"Not measured: no `{part}.json`."]
    return "\n".join(lines) + "\n"


def _floor_table(floor: Figures) -> Iterator[str]:
    yield f"`python -m benchmarks.floor`, {floor['rounds']} rounds; wall milliseconds / CPU milliseconds."
    yield ""
    sizes = list(floor["stages"])
    yield "| stage | " + " | ".join(sizes) + " |"
    yield "|---" * (len(sizes) + 1) + "|"
    for stage in floor["stages"][sizes[0]]:
        cells = [floor["stages"][size][stage] for size in sizes]
        yield f"| {stage} | " + " | ".join(f"{cell['ms']:.2f} / {cell['cpu_ms']:.2f}" for cell in cells) + " |"
    for encoder in ("ours", "Pillow default"):
        kilobytes = [f"{floor['png_bytes'][size][encoder] / 1000:.0f} kB" for size in sizes]
        yield f"| bytes of a PNG, {encoder} | " + " | ".join(kilobytes) + " |"


def _server_table(server: Figures) -> Iterator[str]:
    yield f"`python -m benchmarks.server`, {server['rounds']} rounds of {server['seconds']:g} s for each row."
    yield ""
    yield "| condition (kind, photo, clients, body) | a second | p50 ms | p99 ms | CPU ms a request | memory MB |"
    yield "|---|---|---|---|---|---|"
    for part in ("detect", "batch", "batching"):
        for name, figures in server.get(part, {}).items():
            cpu = figures.get("server_cpu_ms", figures.get("cpu_ms", 0.0))
            memory = f"{figures['memory_mb']:.0f}" if "memory_mb" in figures else ""
            yield (
                f"| {name} | {figures['throughput']:.1f} | {figures['p50_ms']:.1f} | {figures['p99_ms']:.1f} "
                f"| {cpu:.1f} | {memory} |"
            )
    if "batch" in server:
        yield ""
        yield "A request of `batch` is a burst of 8 photos."


def _peers_table(peers: list[Figures]) -> Iterator[str]:
    yield "`python -m benchmarks.peers`, each in turns with ours. Photos a second / p50 ms."
    yield ""
    yield "| server | configuration | clients | theirs | ours | ratio |"
    yield "|---|---|---|---|---|---|"
    for peer in peers:
        name = f"{peer['peer']} {peer.get('version') or ''}".strip() + (", quick start" if peer["quick_start"] else "")
        if peer.get("error"):
            yield f"| {name} | {peer['configuration']} | | does not run here: {_line(peer['error'])} | | |"
            continue
        for kind in ("json", "png"):
            for clients, figures in (peer.get(kind) or {}).items():
                ours = peer["ours"][kind][clients]
                yield (
                    f"| {name} | {peer['configuration']} | {kind} {clients} | {_pair(figures)} | {_pair(ours)} "
                    f"| {ours['throughput'] / max(figures['throughput'], 0.01):.2f} |"
                )


def _pair(figures: Figures) -> str:
    return f"{figures['throughput']:.1f} / {figures['p50_ms']:.1f}"


def _line(text: str) -> str:
    return " ".join(text.split())[:200].replace("|", "/")


def main(given: list[str] | None = None) -> int:
    """Write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "benchmarks")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "RESULTS.md")
    arguments = parser.parse_args(given)
    results = {
        part: json.loads(path.read_text(encoding="utf-8"))
        for part in PARTS
        if (path := arguments.results / f"{part}.json").exists()
    }
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    arguments.out.write_text(markdown(results, commit=commit.strip() or "unknown"), encoding="utf-8")
    reached = [goal.reached for goal in goals(results)]
    print(
        f"{arguments.out}: {reached.count(True)} goals reached, {reached.count(False)} not, {reached.count(None)} open"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
