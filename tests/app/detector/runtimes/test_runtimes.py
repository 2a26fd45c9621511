"""Both runtimes on the committed bundle: the same tests for each, and the same boxes from both."""

import numpy as np
import pytest

from app.detector.runtimes.load import load_runtime
from tests.app.detector.runtimes.conftest import needs_tensorflow
from training.release.parity import MAX_BOX_DIFFERENCE, MAX_SCORE_DIFFERENCE, compare

KINDS = [
    pytest.param(("litert", "float32"), id="litert-float32"),
    pytest.param(("litert", "int8"), id="litert-int8"),
    pytest.param(("tensorflow", "float32"), id="tensorflow", marks=needs_tensorflow),
]


@pytest.fixture(scope="module", params=KINDS)
def runtime(request, shipped_bundle):
    kind, precision = request.param
    return load_runtime(shipped_bundle, kind, precision=precision, threads=2)


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
