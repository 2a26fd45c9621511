"""The detector in every peer: the same model file, run by LiteRT."""

from __future__ import annotations

import io
from typing import Any, Protocol

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from app.detector.bundle import INT8_MODEL, find_bundle, read_bundle
from app.detector.detections import Detections
from app.detector.fusion import fuse
from app.photo.quality import PhotoQuality
from app.screening import screen
from benchmarks.floor import ROOT, Bare

USABLE = PhotoQuality(shorter_side=480, luminance=120.0, sharpness=0.3, tissue=0.5)


class Detector(Protocol):
    """The detector of a peer."""

    def answer(self, data: bytes) -> dict[str, Any]:
        """Boxes of the suspect teeth on an encoded photo."""
        ...


class Tuned:
    """A tuned implementation: this project's decoding, resizing and rules, with one thread."""

    def __init__(self) -> None:
        self._bare = Bare("int8", threads=1)

    def answer(self, data: bytes) -> dict[str, Any]:
        return _answer(self._bare.screen(self._bare.open(data)).shown)


class Plain:
    """A first implementation: Pillow, and the interpreter as in its documentation; no check of photo quality."""

    def __init__(self) -> None:
        self._bundle = read_bundle(find_bundle(ROOT / "model_store"), verify=False)
        self._interpreter = Interpreter(model_path=str(self._bundle.path / INT8_MODEL))
        self._run = self._interpreter.get_signature_runner()
        ((self._input, _),) = self._run.get_input_details().items()

    def answer(self, data: bytes) -> dict[str, Any]:
        picture = (
            Image.open(io.BytesIO(data)).convert("RGB").resize((self._bundle.input_width, self._bundle.input_height))
        )
        pixels = np.asarray(picture, np.float32)[np.newaxis] / 127.5 - 1
        outputs = self._run(**{self._input: pixels})
        by_size = []
        for first in range(0, len(outputs), 4):  # four outputs for each size at which the model processes the photo
            _, scores, classes, boxes = (outputs[f"output_{first + number}"][0] for number in range(4))
            by_size.append(Detections.from_raw(boxes, scores, classes + 1))
        detections = fuse(by_size)
        screening = screen(
            self._bundle.calibrated(detections),
            USABLE,
            seen=detections,
            screened_class_id=self._bundle.screened_class_id,
            score_threshold=self._bundle.operating_point.score_threshold,
        )
        return _answer(screening.shown)


def _answer(shown: Detections) -> dict[str, Any]:
    return {"boxes": [[*map(float, box), score] for box, score, _ in shown]}
