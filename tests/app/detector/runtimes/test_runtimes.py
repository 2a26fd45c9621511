"""Both runtimes on the committed bundle: the same tests for each, and the same boxes from both."""

import importlib.util
import subprocess
import sys
import time

import numpy as np
import pytest

from app.detector.runtimes import tensorflow
from app.detector.runtimes.load import load_runtime
from app.detector.runtimes.process import WorkerProcess
from app.errors import RuntimeUnavailable
from app.photo.decoding import decode
from training.release.parity import MAX_BOX_DIFFERENCE, MAX_SCORE_DIFFERENCE, compare

needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed"
)
KINDS = [
    pytest.param(("litert", "float32"), id="litert-float32"),
    pytest.param(("litert", "int8"), id="litert-int8"),
    pytest.param(("tensorflow", "float32"), id="tensorflow", marks=needs_tensorflow),
]


@pytest.fixture(scope="module", params=KINDS)
def runtime(request, shipped_bundle):
    kind, precision = request.param
    return load_runtime(shipped_bundle, kind, precision=precision, threads=2)


@pytest.fixture(scope="module")
def photos(example_photos):
    return [decode(path.read_bytes()).pixels for path in example_photos]


def test_teeth_are_found_on_the_examples(runtime, photos) -> None:
    assert photos
    for pixels in photos:
        assert (runtime.detect(pixels).scores > 0.4).sum() >= 4


def test_the_same_photo_gives_the_same_answer(runtime, photos) -> None:
    first, again = runtime.detect(photos[0]), runtime.detect(photos[0])
    assert (first.boxes == again.boxes).all()
    assert (first.scores == again.scores).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (3000, 2), (320, 320), (3000, 4000)])
def test_any_size_is_accepted(runtime, shape) -> None:
    detections = runtime.detect(np.full((*shape, 3), 127, np.uint8))
    assert len(detections) <= 100


def test_a_read_only_and_a_strided_array_are_accepted(runtime, photos) -> None:
    frozen = photos[0].copy()
    frozen.flags.writeable = False
    mirrored = np.ascontiguousarray(photos[0][:, ::-1])[:, ::-1]
    assert (runtime.detect(frozen).scores == runtime.detect(mirrored).scores).all()


def test_class_ids_are_those_of_the_bundle(runtime, photos, shipped_bundle) -> None:
    for pixels in photos:
        assert set(runtime.detect(pixels).class_ids.tolist()) <= set(shipped_bundle.class_names)


def test_name_and_device(runtime) -> None:
    assert runtime.name in ("litert", "tensorflow")
    assert runtime.device.split()[0] in ("cpu", "gpu")


@needs_tensorflow
def test_the_runtimes_agree_within_the_parity_bound(shipped_bundle, photos) -> None:
    tensorflow = load_runtime(shipped_bundle, "tensorflow")
    litert = load_runtime(shipped_bundle, "litert")
    parity = compare([tensorflow.detect(p) for p in photos], [litert.detect(p) for p in photos])
    assert parity.compared > 0
    assert parity.not_found == 0
    assert parity.max_score_difference <= MAX_SCORE_DIFFERENCE
    assert parity.max_box_difference <= MAX_BOX_DIFFERENCE


def test_a_lone_photo_gets_the_same_answer(shipped_bundle, photos) -> None:
    runtime = load_runtime(shipped_bundle, "litert", precision="int8", threads=1, alone_threads=2)
    for pixels in photos:
        alone, shared = runtime.detect_alone(pixels), runtime.detect(pixels)
        assert len(alone) == len(shared) > 0
        assert np.abs(alone.scores - shared.scores).max() < 1e-6


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


def test_auto_means_litert_without_a_gpu(shipped_bundle) -> None:
    assert load_runtime(shipped_bundle, "auto").device.startswith("gpu") or (
        load_runtime(shipped_bundle, "auto").name == "litert"
    )


def test_int8_is_refused_by_tensorflow(shipped_bundle) -> None:
    with pytest.raises(RuntimeUnavailable, match="runs float32, not int8"):
        load_runtime(shipped_bundle, "tensorflow", precision="int8")


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
