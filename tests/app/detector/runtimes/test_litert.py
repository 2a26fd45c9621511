"""LiteRT alone."""

import subprocess
import sys
import time

import numpy as np
import pytest

from app.detector.runtimes.load import load_runtime


def test_a_lone_photo_gets_the_same_answer(shipped_bundle, photos) -> None:
    runtime = load_runtime(shipped_bundle, "litert", precision="int8", threads=1, alone_threads=2)
    for pixels in photos:
        alone, shared = runtime.detect_alone(pixels), runtime.detect(pixels)
        assert len(alone) == len(shared) > 0
        assert np.abs(alone.scores - shared.scores).max() < 1e-6


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
