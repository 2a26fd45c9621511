"""The same detector by other runtimes: time, AP, memory, start and size beside LiteRT's.

    python -m benchmarks.runtimes [--data DIR] --out runtimes.json [--parts accuracy,timing] [--rounds 7]
    python -m benchmarks.runtimes --out runtimes.json --parts table

The runtimes live in an environment of their own, `.venv/runtimes`, made from `requirements.txt` if it is not there;
`benchmarks.runtimes.convert` makes their files from the committed bundle, once, in `build/runtimes`. A detection is all
from uint8 `[320, 320, 3]` to boxes; runtimes without LiteRT's postprocessing operation have their own non-maximum
suppression in the graph. Every variant is a process of its own, loaded once; in every round each detects on the same
photos of fold 0, in turns.

    accuracy    AP@.5, the mean of both classes, over fold 0, which flatters a detector that saw it; its difference to
                LiteRT int8 with a 95 % interval by bootstrap over photos, the same photos for both; and which share of
                the boxes of LiteRT at the same precision is found
    timing      median of the rounds' medians, ms; resident memory of the process and seconds to import, load and detect
                the first time; MB that the package and what it needs beyond NumPy take on disk
    table       prints the table of a file that is there

`runtimes.json` has versions, sizes, `accuracy` by variant, and under `rows` the timing of each variant and number of
threads, or the error that kept it from running.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import numpy as np

from app.detector.bundle import Bundle, find_bundle, read_bundle
from app.detector.detections import Detections
from app.photo import images
from app.screening import box_iou
from benchmarks.peers.compare import make_environment
from training.data.annotations import AnnotatedPhoto, read_annotated_photos
from training.measure.metrics import average_precisions, bootstrap, coco_evaluation

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENT = ROOT / ".venv" / "runtimes"
WORK = ROOT / "build" / "runtimes"
REQUIREMENTS = HERE / "requirements.txt"

SILENT = {"CI": "true"}
"""Importing OpenVINO or NNCF reports to an analytics service, unless it believes to be in continuous integration."""

HELD_OUT_FOLD = 0
MODEL = "caries-ssd-mobilenet-v2-fpnlite-320"
"""The one whose file is one network and one postprocessing, which `convert` can take apart."""
CALIBRATION_PHOTOS = 200
THREADS = (1, 2)
RESAMPLES = 300
SURE = 0.3
"""Score from which on a box of LiteRT's has to be found by the others."""

SAME_BOX_IOU = 0.9
PARTS = ("accuracy", "timing", "table")

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Variant:
    """The detector by one runtime in one precision.

    Attributes:
        name: of the row.
        runtime: as people call it.
        precision: in words.
        package: that the server would have to install.
        loader: of `benchmarks.runtimes.detectors`.
        file: that `benchmarks.runtimes.convert` writes.
        reference: the variant that has the same weights in LiteRT.
    """

    name: str
    runtime: str
    precision: str
    package: str
    loader: str
    file: str
    reference: str = "litert-float32"


LITERT, ONNX, OPENVINO = "ai-edge-litert", "onnxruntime", "openvino"
BASELINE = "litert-int8"
ALL_ANCHORS, LATEST = "LiteRT, all anchors in NMS", "LiteRT, XNNPACK's latest features"
COMPILED, YNNPACK = "LiteRT CompiledModel, NMS in NumPy", "LiteRT CompiledModel, YNNPACK"
VARIANTS = (
    Variant("litert-float32-all", ALL_ANCHORS, "float32", LITERT, "litert", "committed_float32.tflite"),
    Variant("litert-int8-all", ALL_ANCHORS, "int8", LITERT, "litert", "committed_int8.tflite", BASELINE),
    Variant("litert-float32", "LiteRT", "float32", LITERT, "litert", "float32.tflite"),
    Variant(BASELINE, "LiteRT", "int8", LITERT, "litert", "int8.tflite", BASELINE),
    Variant("litert-float16", "LiteRT", "float16 weights", LITERT, "litert", "float16.tflite"),
    Variant("litert-dynamic", "LiteRT", "dynamic range", LITERT, "litert", "dynamic_range.tflite"),
    Variant("litert-latest-float32", LATEST, "float32", LITERT, "litert_latest", "float32.tflite"),
    Variant("litert-latest-int8", LATEST, "int8", LITERT, "litert_latest", "int8.tflite", BASELINE),
    Variant("compiled-float32", COMPILED, "float32", LITERT, "litert_compiled", "heads_float32.tflite"),
    Variant("compiled-int8", COMPILED, "int8", LITERT, "litert_compiled", "heads_int8.tflite", BASELINE),
    Variant("ynnpack-float32", YNNPACK, "float32", LITERT, "litert_ynnpack", "heads_float32.tflite"),
    Variant("onnxruntime-float32", "ONNX Runtime", "float32", ONNX, "onnxruntime", "float32.onnx"),
    Variant("onnxruntime-int8", "ONNX Runtime", "int8, LiteRT's", ONNX, "onnxruntime", "int8.onnx", BASELINE),
    Variant("onnxruntime-int8-static", "ONNX Runtime", "int8, its own", ONNX, "onnxruntime", "int8_static.onnx"),
    Variant("openvino-float32", "OpenVINO", "float32", OPENVINO, "openvino", "heads_float32.tflite"),
    Variant("openvino-int8", "OpenVINO", "int8, LiteRT's", OPENVINO, "openvino", "heads_int8.tflite", BASELINE),
    Variant("openvino-int8-nncf", "OpenVINO", "int8, NNCF", OPENVINO, "openvino", "heads_int8_nncf.xml"),
)  # fmt: skip
BY_NAME = {variant.name: variant for variant in VARIANTS}


class VariantError(Exception):
    """A variant does not run, and why."""


class Worker:
    """A process of `benchmarks.runtimes.worker`.

    Attributes:
        loaded: its first answer.
    """

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log
        self.loaded = self._answer()

    def ask(self, request: str) -> Figures:
        """What it answers; see the worker.

        Raises:
            VariantError: it ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        return self._answer()

    def _answer(self) -> Figures:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
            raise VariantError((lines or ["ended"])[-1][:200])
        answer: Figures = json.loads(line)
        if "error" in answer:
            raise VariantError(" ".join(answer["error"].split())[:200])
        return answer


@contextmanager
def running(variant: Variant, threads: int, models: Path, photos: Path, python: Path) -> Iterator[Worker]:
    """The variant, loaded.

    Raises:
        VariantError: it ended before that.
    """
    log = WORK / f"{variant.name}.log"
    command = [str(python), "-m", "benchmarks.runtimes.worker"]
    command += [variant.loader, str(models / variant.file), str(threads), str(photos)]
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **SILENT},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
    with process:
        try:
            yield Worker(process, log)
        finally:
            process.kill()


def write_inputs(photos: Sequence[AnnotatedPhoto], bundle: Bundle, path: Path) -> Path:
    """The photos in the size of the model's input, uint8 `[photos, height, width, 3]`."""
    size = bundle.input_height, bundle.input_width
    np.save(path, np.stack([images.resize(images.decode(photo.path.read_bytes()).pixels, *size) for photo in photos]))
    return path


def converted(bundle: Bundle, calibration: Path, python: Path) -> Path:
    """The folder of the files for every runtime, made if the bundle, the photos or the conversion are others.

    Raises:
        CalledProcessError: the conversion failed; its log is beside the folder.
    """
    made_from = hashlib.sha256(bundle.sha256.encode() + calibration.read_bytes() + REQUIREMENTS.read_bytes())
    for name in ("convert.py", "tflite_files.py", "postprocess.py"):
        made_from.update((HERE / name).read_bytes())
    models = WORK / made_from.hexdigest()[:12]
    if not (models / ".converted").exists():
        print("converting: a few minutes", file=sys.stderr, flush=True)
        command = [str(python), "-m", "benchmarks.runtimes.convert", str(bundle.path), str(calibration), str(models)]
        with (WORK / "convert.log").open("w") as log:
            subprocess.run(command, cwd=ROOT, env={**os.environ, **SILENT}, stdout=log, stderr=log, check=True)
        (models / ".converted").touch()
    return models


def measure_accuracy(photos: Sequence[AnnotatedPhoto], models: Path, inputs: Path, python: Path) -> dict[str, Figures]:
    """Variant to `ap50`, `ap50_caries`, `difference`, `interval` and `agrees`, or to `error`."""
    found: dict[str, list[Detections]] = {}
    figures: dict[str, Figures] = {}
    for variant in VARIANTS:
        try:
            with running(variant, 1, models, inputs, python) as worker:
                rows = worker.ask("detect")["detections"]
        except VariantError as error:
            figures[variant.name] = {"error": str(error)}
            continue
        tables = [np.array(photo, np.float32).reshape(-1, 6) for photo in rows]
        found[variant.name] = [Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int32)) for table in tables]
    evaluations = {name: coco_evaluation(photos, detections) for name, detections in found.items()}

    def differences(sample: Sequence[int]) -> dict[str, float]:
        values = {name: average_precisions(item, sample)["mAP@.5"] for name, item in evaluations.items()}
        return {name: value - values[BASELINE] for name, value in values.items()}

    whole = differences(range(len(photos)))
    intervals = bootstrap(len(photos), differences, resamples=RESAMPLES)
    for name, evaluation in evaluations.items():
        values = average_precisions(evaluation)
        figures[name] = {
            "ap50": round(values["mAP@.5"], 4),
            "ap50_caries": round(values["AP@.5 caries"], 4),
            "difference": round(whole[name], 4),
            "interval": [round(end, 4) for end in intervals[name]],
            "agrees": round(agreement(found[BY_NAME[name].reference], found[name]), 4),
        }
    return figures


def agreement(expected: Sequence[Detections], found: Sequence[Detections]) -> float:
    """The share of the expected boxes of a score from `SURE` on that were found.

    That is, there is a box of the same class, at least half the score and an overlap of `SAME_BOX_IOU`.
    """
    hits = [
        bool(
            (
                (box_iou(box[np.newaxis], other.boxes)[0] >= SAME_BOX_IOU)
                & (other.class_ids == class_id)
                & (other.scores >= score / 2)
            ).any()
        )
        for one, other in zip(expected, found, strict=True)
        for box, score, class_id in one.where(one.scores >= SURE)
    ]
    return float(np.mean(hits))


def measure_timing(models: Path, inputs: Path, python: Path, *, rounds: int, repeat: int) -> list[Figures]:
    """A row for each variant and number of threads: `ms`, `of_baseline`, `memory_mb` and `load_s`, or `error`."""
    rows = []
    for threads in THREADS:
        medians: dict[str, list[float]] = {}
        loaded: dict[str, Figures] = {}
        errors: dict[str, str] = {}
        with ExitStack() as stack:
            workers: dict[str, Worker] = {}
            for variant in VARIANTS:
                try:
                    worker = stack.enter_context(running(variant, threads, models, inputs, python))
                except VariantError as error:
                    errors[variant.name] = str(error)
                    continue
                workers[variant.name], loaded[variant.name] = worker, worker.loaded
            for number in range(rounds):
                order = list(workers.items())
                for name, worker in order if number % 2 else reversed(order):
                    medians.setdefault(name, []).append(statistics.median(worker.ask(f"time {repeat}")["ms"]))
        for variant in VARIANTS:
            row: Figures = {"name": variant.name, "threads": threads}
            if variant.name in errors:
                rows.append({**row, "error": errors[variant.name]})
                continue
            ratios = [mine / ours for mine, ours in zip(medians[variant.name], medians[BASELINE], strict=True)]
            rows.append(
                {
                    **row,
                    "ms": round(statistics.median(medians[variant.name]), 2),
                    "ms_of_rounds": [round(value, 2) for value in medians[variant.name]],
                    "of_baseline": round(statistics.median(ratios), 3),
                    **{key: round(value, 3) for key, value in loaded[variant.name].items()},
                }
            )
    return rows


def installed_mb(package: str, site: Path) -> float:
    """Size of a package and of what it needs, but for NumPy, 10**6 bytes of files that pip installed."""
    by_name = {_normal(item.metadata["Name"]): item for item in distributions(path=[str(site)])}
    counted: dict[str, Distribution] = {}
    waiting = [_normal(package)]
    while waiting:
        name = waiting.pop()
        if name in counted or name == "numpy" or name not in by_name:
            continue
        counted[name] = by_name[name]
        needs = [need for need in by_name[name].requires or [] if "extra ==" not in need]
        waiting += [_normal(re.split(r"[^\w.-]", need, maxsplit=1)[0]) for need in needs]
    paths = {Path(str(path.locate())) for item in counted.values() for path in item.files or []}
    return sum(path.stat().st_size for path in paths if path.suffix != ".pyc" and path.is_file()) / 1e6


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def table(result: Figures) -> str:
    """Markdown: a row for each variant and number of threads."""
    lines = [
        "| runtime | precision | threads | ms, median | of LiteRT int8 | AP@.5 | MB on disk | MB resident | load s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        variant = BY_NAME[row["name"]]
        accuracy = result["accuracy"].get(variant.name, {})
        start = f"| {variant.runtime} | {variant.precision} | {row['threads']} |"
        if "error" in row:
            lines.append(f"{start} does not run | | | | | |")
            continue
        lines.append(
            f"{start} {row['ms']:.1f} | {row['of_baseline']:.2f} | {accuracy.get('ap50', float('nan')):.3f} "
            f"| {result['disk_mb'][variant.package]:.0f} | {row['memory_mb']:.0f} | {row['load_s']:.2f} |"
        )
    return "\n".join(lines)


def accuracy_table(result: Figures) -> str:
    """Markdown: a row for each variant that LiteRT int8 is not."""
    lines = ["| runtime | precision | AP@.5 less LiteRT int8's | boxes as LiteRT's |", "|---|---|---|---|"]
    for name, figures in result["accuracy"].items():
        if "error" in figures or name == BASELINE:
            continue
        low, high = figures["interval"]
        variant = BY_NAME[name]
        lines.append(
            f"| {variant.runtime} | {variant.precision} | {figures['difference']:+.3f} [{low:+.3f}, {high:+.3f}] "
            f"| {figures['agrees']:.1%} |"
        )
    return "\n".join(lines)


def main(given: list[str] | None = None) -> int:
    """Measures what is asked for, keeps what the file holds already, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data" / "tooth-photos")
    parser.add_argument("--bundle", type=Path, help=f"the newest {MODEL} of the store if left out")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", default="accuracy,timing", help=f"of {', '.join(PARTS)}, separated by commas")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeat", type=int, default=8, help="detections in a round")
    arguments = parser.parse_args(given)
    parts = arguments.parts.split(",")
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"--parts {','.join(unknown)}: allowed are {', '.join(PARTS)}")
    result: Figures = {"accuracy": {}, "rows": [], "disk_mb": {}}
    if arguments.out.exists():
        result |= json.loads(arguments.out.read_text(encoding="utf-8"))
    if set(parts) != {"table"}:
        WORK.mkdir(parents=True, exist_ok=True)
        python = make_environment(ENVIRONMENT, REQUIREMENTS)
        bundle = read_bundle(arguments.bundle or find_bundle(ROOT / "model_store", MODEL))
        photos = read_annotated_photos(arguments.data)
        held_out = [photo for photo in photos if photo.fold == HELD_OUT_FOLD]
        training_part = [photo for photo in photos if photo.fold != HELD_OUT_FOLD][:CALIBRATION_PHOTOS]
        inputs = write_inputs(held_out, bundle, WORK / "held_out.npy")
        models = converted(bundle, write_inputs(training_part, bundle, WORK / "calibration.npy"), python)
        (site,) = ENVIRONMENT.glob("lib/python*/site-packages")
        result["disk_mb"] = {package: round(installed_mb(package, site), 1) for package in (LITERT, ONNX, OPENVINO)}
        result["versions"] = dict(line.split("==") for line in REQUIREMENTS.read_text(encoding="utf-8").split())
        result["photos"] = len(held_out)
        if "accuracy" in parts:
            result["accuracy"] = measure_accuracy(held_out, models, inputs, python)
        if "timing" in parts:
            result["rows"] = measure_timing(models, inputs, python, rounds=arguments.rounds, repeat=arguments.repeat)
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(table(result), accuracy_table(result), sep="\n\n")
    return 0
