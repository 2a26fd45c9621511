"""The cost of a photo without a server: the same calls as in the server, in one process.

    python -m benchmarks.floor --out floor.json [--rounds 5]

Each stage is timed separately, in alternating rounds. `Bare` runs all stages of a photo; `benchmarks.server`
measures it in turns with the servers: one process with a thread for each core is the floor of latency, one process with
one thread for each core the floor of throughput.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any, Literal

import numpy as np
import simplejpeg
from PIL import Image

from app import drawing
from app.detector.bundle import find_bundle, read_bundle
from app.detector.runtimes.load import load_runtime
from app.photo.decoding import Photo, decode
from app.photo.encoding import encode
from app.photo.pixels import Pixels
from app.photo.quality import assess_quality, screened_side
from app.photo.resizing import resize
from app.screening import Screening, screen
from benchmarks import photos

ROOT = Path(__file__).parents[1]
CORES = len(os.sched_getaffinity(0))


class Bare:
    """All stages of a photo, from encoded photo to answer."""

    def __init__(self, precision: str = "int8", threads: int = 1) -> None:
        self.bundle = read_bundle(find_bundle(ROOT / "model_store"), verify=False)
        self.runtime = load_runtime(self.bundle, "litert", precision=precision, threads=threads)
        self._side = screened_side(self.bundle.input_height, self.bundle.input_width)

    def open(self, data: bytes) -> Photo:
        """Decode as for a JSON answer."""
        return decode(data, shorter_side=self._side)

    def screen(self, photo: Photo) -> Screening:
        """Detect and apply the screening rules."""
        detections = self.runtime.detect(photo.pixels)
        return screen(
            self.bundle.calibrated(detections),
            assess_quality(photo.pixels, shorter_side=min(photo.width, photo.height)),
            seen=detections,
            screened_class_id=self.bundle.screened_class_id,
            score_threshold=self.bundle.operating_point.score_threshold,
        )

    def draw(self, photo: Photo, screening: Screening) -> Pixels:
        """The annotated picture of a fully decoded photo."""
        return drawing.annotate(
            photo.pixels,
            screening,
            class_names=self.bundle.class_names,
            screened_class_id=self.bundle.screened_class_id,
            model=self.bundle.name,
        )

    def json(self, data: bytes) -> bytes:
        """A JSON answer."""
        screening = self.screen(self.open(data))
        return json.dumps([[*map(float, box), score, class_id] for box, score, class_id in screening.shown]).encode()

    def png(self, data: bytes) -> bytes:
        """An annotated PNG."""
        photo = self.open(data)
        screening = self.screen(photo)
        full = photo if photo.is_full_size else decode(data)
        return encode(self.draw(full, screening), "image/png")


bare: Bare
"""The one in each of the `FloorProcesses`."""


class FloorProcesses:
    """Processes that each run `Bare`; a context manager."""

    def __init__(self, processes: int, threads: int, precision: str = "int8") -> None:
        context = multiprocessing.get_context("spawn")
        self._processes = processes
        self._pool: Pool = context.Pool(processes, _load, (precision, threads))

    def run(self, kind: Literal["json", "png"], data: bytes, seconds: float) -> dict[str, float]:
        """Run `Bare.json` or `Bare.png` in all processes at the same time.

        Returns:
            `throughput` in photos per second, and `p50_ms`, `p99_ms` and `cpu_ms` per photo.
        """
        done = self._pool.starmap(_repeat, [(kind, data, seconds)] * self._processes, chunksize=1)
        times = [time for times, _, _ in done for time in times]
        cuts = statistics.quantiles(times, n=100)
        return {
            "throughput": sum(len(times) / took for times, took, _ in done),
            "p50_ms": cuts[49],
            "p99_ms": cuts[98],
            "cpu_ms": sum(cpu for _, _, cpu in done) * 1000 / len(times),
        }

    def __enter__(self) -> FloorProcesses:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.terminate()
        self._pool.join()


def _load(precision: str, threads: int) -> None:
    global bare
    bare = Bare(precision, threads)


def _repeat(kind: Literal["json", "png"], data: bytes, seconds: float) -> tuple[list[float], float, float]:
    answer = bare.json if kind == "json" else bare.png
    answer(data)
    times: list[float] = []
    started, cpu = time.perf_counter(), time.process_time()
    while len(times) < 2 or time.perf_counter() - started < seconds:  # quantiles need two
        begun = time.perf_counter()
        answer(data)
        times.append((time.perf_counter() - begun) * 1000)
    return times, time.perf_counter() - started, time.process_time() - cpu


def stages(data: bytes, runtimes: dict[str, Bare]) -> dict[str, Callable[[], Any]]:
    """Name to call, for one photo; those named `Pillow` are not what the server does."""
    first = next(iter(runtimes.values()))
    photo = first.open(data)
    full = decode(data)
    screening = first.screen(photo)
    annotated = first.draw(full, screening)
    height, width = first.bundle.input_height, first.bundle.input_width
    fit = resize(photo.pixels, height, width)
    return {
        "decode, as for JSON": lambda: first.open(data),
        "decode, in full": lambda: decode(data),
        "decode, in full, Pillow": lambda: np.asarray(Image.open(io.BytesIO(data))),
        "decode, scaled, simplejpeg alone": lambda: simplejpeg.decode_jpeg(
            data, min_height=photo.pixels.shape[0], min_width=photo.pixels.shape[1]
        ),
        "resize": lambda: resize(photo.pixels, height, width),
        **{f"inference, {name}": _inference(runtime, fit) for name, runtime in runtimes.items()},
        "quality": lambda: assess_quality(photo.pixels, shorter_side=min(photo.width, photo.height)),
        "draw": lambda: first.draw(full, screening),
        "encode PNG": lambda: encode(annotated, "image/png"),
    }


def _inference(runtime: Bare, fit: Pixels) -> Callable[[], Any]:
    return lambda: runtime.runtime.detect(fit)


def png_sizes(data: bytes) -> dict[str, int]:
    """Bytes of the photo as PNG, by the server's encoder and by Pillow with its defaults."""
    pixels = decode(data).pixels
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return {"ours": len(encode(pixels, "image/png")), "Pillow default": len(out.getvalue())}


def measure(rounds: int, *, seconds: float = 0.25) -> dict[str, Any]:
    """Milliseconds and CPU milliseconds of each stage by size of the photo; medians over the rounds."""
    variants = {
        f"{precision}, {threads} thread{'s' if threads > 1 else ''}": Bare(precision, threads)
        for precision in ("int8", "float32")
        for threads in sorted({1, CORES})
    }
    calls = {size: stages(paths[len(paths) // 2].read_bytes(), variants) for size, paths in photos.named().items()}
    taken: dict[str, dict[str, list[tuple[float, float]]]] = {size: {} for size in calls}
    for _ in range(rounds):
        for size, by_name in calls.items():
            for name, call in by_name.items():
                taken[size].setdefault(name, []).append(_timed(call, seconds))
    table = {
        size: {name: {"ms": _median(times, 0), "cpu_ms": _median(times, 1)} for name, times in by_name.items()}
        for size, by_name in taken.items()
    }
    sizes = {name: png_sizes(paths[0].read_bytes()) for name, paths in photos.named().items()}
    return {"rounds": rounds, "stages": table, "png_bytes": sizes}


def _timed(call: Callable[[], Any], seconds: float) -> tuple[float, float]:
    """Median milliseconds and mean CPU milliseconds of at least three calls."""
    call()
    times: list[float] = []
    started, cpu = time.perf_counter(), time.process_time()
    while len(times) < 3 or time.perf_counter() - started < seconds:
        begun = time.perf_counter()
        call()
        times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times), (time.process_time() - cpu) * 1000 / len(times)


def _median(times: list[tuple[float, float]], position: int) -> float:
    return round(statistics.median(time[position] for time in times), 3)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one short round, to try the command")
    arguments = parser.parse_args()
    result = measure(1, seconds=0.01) if arguments.quick else measure(arguments.rounds)
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for size, by_name in result["stages"].items():
        for name, figures in by_name.items():
            print(f"{size:>10}  {name:34} {figures['ms']:9.2f} ms  CPU {figures['cpu_ms']:9.2f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
