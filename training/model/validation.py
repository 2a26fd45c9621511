"""Evaluation of a running training: figures on the held-out photos, and pictures of detections."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.detector.detections import Detections
from app.photo.decoding import decode
from app.photo.resizing import resize
from training.data.annotations import AnnotatedPhoto
from training.model.model_runtime import ModelRuntime
from training.output import write_file

FIGURE = "mAP@.5:.95"
"""The figure that selects the best checkpoint: COCO's AP, mean of both classes."""

PICTURES = 4
"""Held-out photos drawn for TensorBoard."""

SHOWN_SCORE = 0.3
"""Minimum score of drawn boxes."""

Figures = Callable[[Sequence[AnnotatedPhoto], Sequence[Detections]], dict[str, float]]
"""Photos and detections to figures by name, one of them `FIGURE`; NaN for an undefined figure."""

CLASS_COLOURS = {1: (60, 180, 75), 2: (230, 25, 75)}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures on the held-out photos after a step."""

    step: int
    figures: dict[str, float]

    @property
    def value(self) -> float:
        """The figure that selects the best checkpoint."""
        return self.figures[FIGURE]


class Validation:
    """The held-out photos, decoded once at the model's input size."""

    def __init__(self, photos: Sequence[AnnotatedPhoto], height: int, width: int, figures: Figures) -> None:
        self._photos, self._figures = list(photos), figures
        self._pixels = [resize(decode(photo.path.read_bytes()).pixels, height, width) for photo in photos]

    def evaluate(self, runtime: ModelRuntime, step: int) -> tuple[Evaluation, list[npt.NDArray[np.uint8]]]:
        """The figures after this step, -1 if undefined, and pictures of labels and detections."""
        predictions = runtime.detect_all(self._pixels)
        figures = self._figures(self._photos, predictions)
        figures = {name: -1.0 if math.isnan(value) else value for name, value in figures.items()}
        pictures = [
            side_by_side(pixels, photo, found)
            for pixels, photo, found in zip(
                self._pixels[:PICTURES], self._photos[:PICTURES], predictions[:PICTURES], strict=True
            )
        ]
        return Evaluation(step, figures), pictures


def side_by_side(pixels: npt.NDArray[np.uint8], photo: AnnotatedPhoto, found: Detections) -> npt.NDArray[np.uint8]:
    """Labels on the left, detections on the right, normal teeth green, carious red: uint8 `[height, 2 width, 3]`."""
    from PIL import Image, ImageDraw

    shown = found.where(found.scores >= SHOWN_SCORE)
    height, width = pixels.shape[:2]
    halves = []
    for boxes, class_ids in ((photo.boxes, photo.class_ids), (shown.boxes, shown.class_ids)):
        half = Image.fromarray(pixels)
        draw = ImageDraw.Draw(half)
        for (ymin, xmin, ymax, xmax), class_id in zip(boxes, class_ids, strict=True):
            corners = (xmin * (width - 1), ymin * (height - 1), xmax * (width - 1), ymax * (height - 1))
            draw.rectangle([float(corner) for corner in corners], outline=CLASS_COLOURS[int(class_id)], width=2)
        halves.append(np.asarray(half))
    return np.concatenate(halves, axis=1)


class EvaluationLog:
    """`evaluations.jsonl`, one line per evaluation; the state of early stopping."""

    def __init__(self, path: Path, *, up_to_step: int, is_written: bool = True) -> None:
        """Read the log up to the step from which the training resumes, and drop the rest. One of several workers writes
        the file."""
        self._path, self._is_written = path, is_written
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        entries: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self.evaluations = [
            Evaluation(entry["step"], entry["figures"]) for entry in entries if entry["step"] <= up_to_step
        ]
        if len(self.evaluations) < len(entries):
            self._write()

    def add(self, evaluation: Evaluation) -> None:
        self.evaluations.append(evaluation)
        self._write()

    @property
    def best(self) -> Evaluation | None:
        """The evaluation with the highest figure, the first of equals."""
        return max(self.evaluations, key=lambda item: item.value, default=None)

    @property
    def since_best(self) -> int:
        """Evaluations after the best one."""
        return len(self.evaluations) - 1 - self.evaluations.index(self.best) if self.best else 0

    def _write(self) -> None:
        if self._is_written:
            lines = (json.dumps({"step": item.step, "figures": item.figures}) + "\n" for item in self.evaluations)
            write_file(self._path, "".join(lines))
