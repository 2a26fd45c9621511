"""Evaluation: an exported model over annotated photos, through the same runtime that serves it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from app.detector.bundle import FLOAT32_MODEL, INT8_MODEL
from app.detector.detections import Detections
from app.detector.runtimes import Runtime
from app.detector.runtimes.litert import LiteRTRuntime
from app.detector.runtimes.tensorflow import TensorFlowRuntime
from app.photo.decoding import decode
from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.measure.metrics import (
    Counts,
    Matches,
    at_threshold,
    average_precisions,
    best_f1,
    bootstrap,
    coco_evaluation,
    coco_figures,
    match,
)

SCREENED_CLASS = "caries"
MODELS = ("saved_model", "float32", "int8")


def load_exported(export: Path, model: str, input_size: int) -> LiteRTRuntime | TensorFlowRuntime:
    """The runtime of one of `MODELS` in a folder that `training.release.export` wrote, or in a bundle.

    Args:
        export: the folder.
        model: `saved_model`, `float32` or `int8`.
        input_size: pixels of the detector's square input.
    """
    if model == "saved_model":
        folder = export / "saved_model"
        return TensorFlowRuntime(folder if folder.is_dir() else export, input_size, input_size, threads=2)
    return LiteRTRuntime(export / (INT8_MODEL if model == "int8" else FLOAT32_MODEL), threads=2)


def predict(runtime: Runtime, photos: Sequence[AnnotatedPhoto], *, name: str = "predict") -> list[Detections]:
    """Everything the detector sees on each photo, with a progress bar."""
    return [
        runtime.detect(decode(photo.path.read_bytes()).pixels)
        for photo in tqdm(photos, desc=name, unit="photo", leave=False)
    ]


def look(
    runtime: LiteRTRuntime | TensorFlowRuntime, photos: Sequence[AnnotatedPhoto], *, name: str
) -> list[Detections]:
    """Everything the exported detector sees on each photo at each of its sizes, one after the other, not yet fused."""
    return [
        found
        for photo in tqdm(photos, desc=name, unit="photo", leave=False)
        for found in runtime.detect_by_size(decode(photo.path.read_bytes()).pixels)
    ]


def evaluate(photos: Sequence[AnnotatedPhoto], predictions: Sequence[Detections]) -> dict[str, Any]:
    """The figures of one model over these photos, ready for JSON.

    Returns:
        `coco` (12 numbers), `figures` (name to `value` and 95 % `interval` by bootstrap over photos, both None where
        the photos cannot give the figure) and `best_f1_score_threshold`.
    """
    evaluation = coco_evaluation(photos, predictions)
    matches = match_screened(photos, predictions)

    def figures(sample: Sequence[int]) -> dict[str, float]:
        return main_figures(evaluation, matches, sample)

    def known(sample: Sequence[int]) -> dict[str, float]:
        return {name: value for name, value in figures(sample).items() if name not in unknown}

    values = figures(range(len(photos)))
    unknown = {name for name, value in values.items() if math.isnan(value)}
    intervals = bootstrap(len(photos), known)
    return {
        "coco": coco_figures(evaluation),
        "figures": {
            name: {"value": None if name in unknown else value, "interval": intervals.get(name)}
            for name, value in values.items()
        },
        "best_f1_score_threshold": best_f1(matches)[0],
    }


def main_figures(evaluation: Any, matches: Sequence[Matches], sample: Sequence[int]) -> dict[str, float]:
    """The average precisions and the best F1 of the screened class over a resample of photos; NaN where it cannot give
    one, see `training.measure.metrics.average_precisions`.

    Args:
        evaluation: what `training.measure.metrics.coco_evaluation` returned.
        matches: what `match_screened` returned for the same predictions.
        sample: positions of photos, with repetitions.
    """
    _, best = best_f1([matches[position] for position in sample])
    f1 = best.f1 if best.labelled else math.nan
    return {**average_precisions(evaluation, sample), f"best F1 {SCREENED_CLASS}": f1}


def match_screened(photos: Sequence[AnnotatedPhoto], predictions: Sequence[Detections]) -> list[Matches]:
    """`training.measure.metrics.match` of the screened class, photo by photo."""
    class_id = CLASS_IDS[SCREENED_CLASS]
    return [match(photo, detections, class_id) for photo, detections in zip(photos, predictions, strict=True)]


def operating_point(photos: Sequence[AnnotatedPhoto], matches: Sequence[Matches]) -> tuple[float, Counts]:
    """The score threshold of the highest F1 of the screened class, and an estimate of what it does on other photos.

    The threshold is chosen on all these photos. Counts at a threshold chosen on the same photos flatter, so they are
    cross-fitted: the photos are halved by group, and each half is judged at the threshold chosen on the other.
    """
    halves: tuple[list[Matches], list[Matches]] = ([], [])
    for photo, item in zip(photos, matches, strict=True):
        halves[hashlib.sha256(photo.group.encode()).digest()[0] % 2].append(item)
    first, second = halves
    cross_fitted = at_threshold(first, best_f1(second)[0]) + at_threshold(second, best_f1(first)[0])
    return best_f1(matches)[0], cross_fitted


def figures_table(evaluations: dict[str, dict[str, Any]]) -> str:
    """A Markdown table: a row for each figure, a column for each model, intervals in brackets."""
    names = list(next(iter(evaluations.values()))["figures"])
    rows = ["| figure | " + " | ".join(evaluations) + " |", "|---" * (len(evaluations) + 1) + "|"]
    for name in names:
        cells = []
        for result in evaluations.values():
            figure = result["figures"][name]
            if figure["value"] is None:
                cells.append("-")
                continue
            low, high = figure["interval"]
            cells.append(f"{figure['value']:.3f} [{low:.3f}, {high:.3f}]")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)
