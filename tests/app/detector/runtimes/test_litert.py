"""LiteRT alone."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from app.detector.bundle import TFLITE_MODELS
from app.detector.detections import Detections
from app.detector.runtimes import Runtime, litert
from app.detector.runtimes.litert import MAX_TIMED_RUNS, TIMING_S, time_models
from app.detector.runtimes.load import load_runtime


def test_a_lone_photo_gets_the_same_answer(shipped_bundle, photos) -> None:
    runtime = load_runtime(shipped_bundle, "litert", precision="int8", threads=1, alone_threads=2)
    for pixels in photos:
        alone, shared = runtime.detect_alone(pixels), runtime.detect(pixels)
        assert len(alone) == len(shared) > 0
        assert np.abs(alone.scores - shared.scores).max() < 1e-6


def test_both_models_are_timed(shipped_bundle) -> None:
    times = time_models({name: shipped_bundle.tflite(name) for name in TFLITE_MODELS})
    assert set(times) == {"float32", "int8"}
    assert all(0.1 < time < 30_000 for time in times.values())


@pytest.mark.parametrize(
    ("seconds", "runs"),
    [((0.0, 0.0), [MAX_TIMED_RUNS] * 2), ((0.2, 0.2), [1, 1]), ((0.2, 0.05), [1, 1]), ((0.5, 0.01), [1, 1])],
)
def test_timing_ends_before_its_limit(monkeypatch, seconds: tuple[float, float], runs: list[int]) -> None:
    """Each model runs once, and again only if that would end within `TIMING_S`."""
    now, begun = 0.0, {"a": 0, "b": 0}

    class Fixed(Runtime):
        input_shape = (2, 2, 3)

        def __init__(self, path: Path, **_: object) -> None:
            self.name = path.name

        def detect(self, pixels: np.ndarray) -> Detections:
            nonlocal now
            begun[self.name] += 1
            now += dict(zip("ab", seconds, strict=True))[self.name]
            return Detections.empty()

    monkeypatch.setattr(litert, "LiteRTRuntime", Fixed)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    times = time_models({"a": Path("a"), "b": Path("b")})
    assert times == {"a": seconds[0] * 1000, "b": seconds[1] * 1000}
    assert list(begun.values()) == runs
    assert now <= max(TIMING_S, sum(seconds))


@pytest.mark.slow
def test_litert_never_imports_tensorflow(shipped_bundle) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from app.detector.bundle import read_bundle\n"
        "from app.detector.runtimes import tensorflow\n"
        "from app.detector.runtimes.load import load_runtime\n"
        f"load_runtime(read_bundle(Path({str(shipped_bundle.path)!r})), 'litert')\n"
        "import app.api\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True)
    assert time.monotonic() - started < 20
