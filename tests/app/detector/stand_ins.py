"""Runtimes that a test holds up or makes fail, and the bundle of their engines."""

import threading
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from app.detector.bundle import Bundle
from app.detector.detections import Detections
from app.detector.engine import Engine
from app.detector.operating_points import OperatingPoint
from app.detector.runtimes import Runtime
from tests.app.detector.listed import listed

BUNDLE = Bundle(
    path=Path("nowhere"),
    name="stand-in",
    version=1,
    sha256="0" * 64,
    class_names=MappingProxyType({1: "normal", 2: "caries"}),
    screened_class_id=2,
    input_height=32,
    input_width=48,
    operating_point=OperatingPoint(0.5, 5, None, None, "nothing"),
    calibration=None,
    manifest=MappingProxyType({}),
)


def manifest(name: str, version: int, **of_point: Any) -> dict[str, Any]:
    """What `write_manifest` takes for a bundle of a 32 x 32 detector; keywords change its operating point."""
    point = {
        "score_threshold": 0.5,
        "max_boxes": 5,
        "sensitivity": 0.8,
        "false_positives_per_image": 1.5,
        "measured_on": "nothing",
    }
    return {
        "model": {"name": name, "version": version},
        "classes": [{"id": 1, "name": "normal"}, {"id": 2, "name": "caries"}],
        "screened_class": "caries",
        "input": {"height": 32, "width": 32},
        "operating_point": point | of_point,
    }


class Held(Runtime):
    """A runtime that waits for its gate and notes the photos it saw."""

    name = "litert"
    device = "cpu"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.busy = threading.Semaphore(0)
        self.seen: list[int] = []
        self.threads: set[str] = set()

    def detect(self, pixels: np.ndarray) -> Detections:
        """No boxes; photos whose first sample is 13 fail."""
        self.threads.add(threading.current_thread().name)
        self.busy.release()
        assert self.gate.wait(30)
        self.seen.append(int(pixels[0, 0, 0]))
        if pixels[0, 0, 0] == 13:
            raise ValueError("unlucky")
        return Detections.empty()


def photo(number: int) -> np.ndarray:
    return np.full((8, 8, 3), number, np.uint8)


def forget(held: Held) -> None:
    """Reset what it has seen."""
    held.seen.clear()
    while held.busy.acquire(blocking=False):
        pass


class Alone(Held):
    """A runtime that notes which photos it had the machine for."""

    detects_alone = True

    def __init__(self) -> None:
        super().__init__()
        self.alone: list[int] = []

    def detect_alone(self, pixels: np.ndarray) -> Detections:
        """Notes the photo."""
        self.alone.append(int(pixels[0, 0, 0]))
        return self.detect(pixels)


class Batching(Held):
    """A runtime with batches of three photos."""

    batch_size = 3

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[int]] = []

    def detect_batch(self, photos: Sequence[np.ndarray]) -> list[Detections]:
        """Notes the batch; each photo's box is as high as its number says."""
        self.batches.append([int(pixels[0, 0, 0]) for pixels in photos])
        if 13 in self.batches[-1]:
            raise ValueError("unlucky")
        boxes = [np.array([[0, 0, int(pixels[0, 0, 0]) / 100, 1]], np.float32) for pixels in photos]
        return [listed(box, np.ones(1), np.ones(1)) for box in boxes]


def batching_engine(batching: Batching, *, batch_wait_s: float = 0.0) -> Engine:
    """A started engine whose runtime is at work on a photo, until its gate is opened."""
    engine = Engine(BUNDLE, lambda: batching, batch_wait_s=batch_wait_s)
    engine.start()
    batching.batches.clear()
    forget(batching)
    batching.gate.clear()
    engine.submit(photo(1))
    assert batching.busy.acquire(timeout=5)
    return engine
