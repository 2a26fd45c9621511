"""The page decides as the server does: its rule in TypeScript against `app.screening`."""

import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import screening
from app.detector.boxes import SAME_TOOTH_IOU
from app.detector.detections import Detections
from app.detector.runtimes import Pixels, Runtime
from app.detector.runtimes.load import load_runtime
from app.photo.quality import PhotoQuality, Reason
from app.screening import ClassSelection, screen
from app.settings import Isolation, Precision, Settings
from tests.app.api.live_server import JSON, serving
from tests.app.page.node import run_rule

THRESHOLDS = [0, *np.linspace(0.05, 0.9, 17).round(2).tolist(), 0.329, 1]
GOOD = PhotoQuality(shorter_side=300, luminance=120.0, sharpness=0.3, tissue=0.6)
DARK = PhotoQuality(shorter_side=300, luminance=20.0, sharpness=0.3, tissue=0.6)
WIDTH, HEIGHT = 637, 481


class Remembering(Runtime):
    """A runtime that works once on each photo."""

    def __init__(self, runtime: Runtime) -> None:
        self.name, self.device = runtime.name, runtime.device
        self._runtime = runtime
        self._known: dict[bytes, Detections] = {}

    def detect(self, pixels: Pixels) -> Detections:
        key = hashlib.sha256(pixels.tobytes()).digest()
        if key not in self._known:
            self._known[key] = self._runtime.detect(pixels)
        return self._known[key]


def load_remembering(*arguments: Any, **options: Any) -> Runtime:
    return Remembering(load_runtime(*arguments, **options))


@pytest.mark.slow
def test_every_example_at_twenty_thresholds(model_store: Path, example_photos: list[Path]) -> None:
    """Boxes, verdict and counts of the page from one answer, and of the server asked at each threshold."""
    assert len(THRESHOLDS) == 20
    settings = Settings(model_store=model_store, precision=Precision.FLOAT32, isolation=Isolation.THREAD)
    cases, answers = [], []
    with serving(settings, load=load_remembering) as live:
        live.wait_until_ready()
        for photo in example_photos:
            data = photo.read_bytes()
            ask = functools.partial(live.client.post, "/detect", content=data, headers=JSON)
            full = ask(params={"evidence": "true"}).json()
            for threshold in THRESHOLDS:
                for classes, max_boxes in (("caries", 5), ("all", 100)):
                    params = {"threshold": threshold, "classes": classes, "max_boxes": max_boxes}
                    options = {"scoreThreshold": threshold, "allClasses": classes == "all", "maxBoxes": max_boxes}
                    size = {"width": full["image"]["width"], "height": full["image"]["height"]}
                    cases.append({"evidence": full["evidence"], "options": options, **size})
                    answers.append(ask(params=params).json())
    results = run_rule(cases)["results"]
    assert len(results) == len(example_photos) * len(THRESHOLDS) * 2
    for result, answer in zip(results, answers, strict=True):
        for detection in answer["detections"]:
            del detection["class"]
        assert result == {name: answer[name] for name in result}
    assert len({answer["verdict"] for answer in answers}) == 2


def columns(detections: Detections) -> dict[str, Any]:
    return {
        "boxes": detections.boxes.tolist(),
        "scores": detections.scores.tolist(),
        "class_ids": detections.class_ids.tolist(),
    }


def crowded(rng: np.random.Generator) -> Detections:
    """Boxes that often overlap, with scores that often lie on a bound; some corners are in eighths, for exact ties."""
    count = rng.integers(0, 30)
    corners = rng.integers(0, 8, (count, 2)) / 8 if rng.random() < 0.5 else rng.random((count, 2))
    sides = rng.choice([0.0, 0.125, 0.25, 0.3], (count, 2))
    scores = np.where(rng.random(count) < 0.5, rng.choice([0.3, 0.4, 0.5, 0.64], count), rng.random(count))
    return Detections(np.hstack([corners, corners + sides]).clip(0, 1), scores, rng.integers(1, 4, count, np.int32))


def test_crowded_boxes_and_scores_on_the_bounds() -> None:
    rng = np.random.default_rng(7)
    cases, expected = [], []
    for _ in range(600):
        detections, raw = crowded(rng), crowded(rng)
        quality = DARK if rng.random() < 0.1 else GOOD
        threshold = float(rng.choice([0.3, 0.4, 0.5, 0.64, rng.random()]))
        max_boxes = int(rng.integers(1, 9))
        classes = ClassSelection.ALL if rng.random() < 0.5 else ClassSelection.CARIES
        seen = raw.where(raw.scores >= screening.TOOTH_SCORE)
        evidence = {
            "screened_class_id": 2,
            "reasons": list(quality.reasons),
            "detections": columns(detections),
            "seen": columns(seen),
        }
        options = {
            "scoreThreshold": threshold,
            "allClasses": classes is ClassSelection.ALL,
            "maxBoxes": max_boxes,
        }
        cases.append({"evidence": evidence, "options": options, "width": WIDTH, "height": HEIGHT})
        expected.append(
            screen(
                detections,
                quality,
                screened_class_id=2,
                score_threshold=threshold,
                max_boxes=max_boxes,
                classes=classes,
                seen=raw,
            )
        )
    for result, decided in zip(run_rule(cases)["results"], expected, strict=True):
        boxes = decided.shown.in_pixels(WIDTH, HEIGHT)
        assert result == {
            "verdict": decided.verdict,
            "reasons": list(decided.reasons),
            "teeth_seen": decided.teeth_seen,
            "hidden_by_max_boxes": decided.hidden_by_max_boxes,
            "detections": [
                {
                    "class_id": class_id,
                    "score": round(score, 4),
                    "box": dict(zip(("ymin", "xmin", "ymax", "xmax"), (round(float(v), 1) for v in box), strict=True)),
                }
                for box, (_, score, class_id) in zip(boxes, decided.shown, strict=True)
            ],
        }
    assert {decided.verdict for decided in expected} == set(screening.Verdict)
    assert {reason for decided in expected for reason in decided.reasons} >= {Reason.NO_TEETH_SEEN, Reason.TOO_DARK}


def test_the_bounds_are_the_servers() -> None:
    assert run_rule([])["bounds"] == {
        "TOOTH_SCORE": screening.TOOTH_SCORE,
        "CLEAR_TOOTH_SCORE": screening.CLEAR_TOOTH_SCORE,
        "SAME_TOOTH_IOU": SAME_TOOTH_IOU,
        "MIN_TEETH_TO_CLEAR": screening.MIN_TEETH_TO_CLEAR,
    }
