"""Batches of TensorFlow."""

import numpy as np
import pytest

from app.detector.runtimes import tensorflow
from app.detector.runtimes.load import load_runtime
from app.detector.runtimes.process import WorkerProcess
from tests.app.detector.runtimes.conftest import needs_tensorflow


@needs_tensorflow
@pytest.mark.parametrize("load", [load_runtime, WorkerProcess])
def test_a_batch_gets_the_answers_of_its_photos(shipped_bundle, photos, load) -> None:
    runtime = load(shipped_bundle, "tensorflow", threads=2, batch_size=len(photos))
    try:
        assert runtime.batch_size == len(photos) > 2
        single = [runtime.detect(pixels) for pixels in photos]
        # Fewer than fit come after more, whose samples must not be seen again.
        for start in (0, 1):
            for found, alone in zip(runtime.detect_batch(photos[start:]), single[start:], strict=True):
                assert len(found) == len(alone) > 0
                assert np.abs(found.scores - alone.scores).max() < 1e-5
                assert np.abs(found.boxes - alone.boxes).max() < 1e-5
                assert (found.class_ids == alone.class_ids).all()
    finally:
        runtime.close()


@needs_tensorflow
def test_a_model_without_batches_takes_photos_one_by_one(shipped_bundle, photos, monkeypatch) -> None:
    monkeypatch.setattr(tensorflow, "BATCH_SIGNATURE", "missing")
    runtime = load_runtime(shipped_bundle, "tensorflow", batch_size=8)
    assert runtime.batch_size == 1
    assert len(runtime.detect(photos[0])) > 0
