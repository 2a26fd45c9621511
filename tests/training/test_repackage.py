"""The bundle of `tiny_run`, measured again."""

import numpy as np
import pytest

from app.detector.bundle import FLOAT32_MODEL, INT8_MODEL, read_bundle
from app.detector.runtimes.litert import LiteRTRuntime
from app.detector.runtimes.load import load_runtime
from app.photo.decoding import decode
from training.cli import main
from training.measure.held_out import seen_photos
from training.release.tflite import ConversionError, set_nms_score_threshold
from training.run_folder import RunFolder

BEST = 30
"""Detections of a photo above the threshold of the test: more than parity compares."""


@pytest.fixture(scope="module")
def bundle(tiny_run):
    return read_bundle(tiny_run / "bundle" / "tiny" / "1")


@pytest.fixture(scope="module")
def photos(rendered_data):
    return [decode(path.read_bytes()).pixels for path in sorted((rendered_data / "img_train").iterdir())]


def test_the_models_return_boxes_from_the_threshold_up(bundle, photos, rendered_data, tmp_path) -> None:
    before = [load_runtime(bundle, "litert").detect(pixels) for pixels in photos]
    threshold = float(min(found.scores[BEST] for found in before))
    arguments = ["repackage", "--bundle", str(bundle.path), "--data", str(rendered_data), "--out", str(tmp_path)]
    assert main([*arguments, "--version", "7", "--nms-score-threshold", repr(threshold)]) == 0
    again = read_bundle(tmp_path / "bundle" / "tiny" / "7")
    litert, saved_model = (load_runtime(again, kind) for kind in ("litert", "tensorflow"))
    cut = 0
    for pixels, found in zip(photos, before, strict=True):
        kept = found.where(found.scores >= np.float32(threshold))
        np.testing.assert_array_equal(litert.detect(pixels).boxes, kept.boxes)
        assert len(saved_model.detect(pixels)) == len(found)
        cut += len(found) - len(kept)
    assert cut > 0
    assert again.manifest["recipe"] == {**bundle.manifest["recipe"], "nms_score_threshold": threshold}
    assert again.manifest["metrics"]["models"].keys() == bundle.manifest["metrics"]["models"].keys()
    assert again.manifest["parity"]["float32"]["compared"] == bundle.manifest["parity"]["float32"]["compared"]
    assert again.manifest["metrics"]["measured_on"] == bundle.manifest["metrics"]["measured_on"]
    assert "version 7" in again.card
    assert RunFolder(tmp_path).weights_of.read_text().strip() == str(bundle.path), "whose photos it has seen"
    assert sorted(seen_photos(again.path).photos) == sorted(seen_photos(bundle.path).photos)
    variables = "variables/variables.data-00000-of-00001"
    assert again.manifest["files"][variables] == bundle.manifest["files"][variables]


@pytest.mark.parametrize("name", [FLOAT32_MODEL, INT8_MODEL])
def test_a_threshold_that_is_set_twice_is_the_last_one(bundle, photos, name, tmp_path) -> None:
    file = tmp_path / name
    file.write_bytes((bundle.path / name).read_bytes())
    before = LiteRTRuntime(file).detect(photos[0])
    set_nms_score_threshold(file, 1.0)
    assert len(LiteRTRuntime(file).detect(photos[0])) == 0
    set_nms_score_threshold(file, 0.0)
    np.testing.assert_array_equal(LiteRTRuntime(file).detect(photos[0]).scores, before.scores)


def test_a_file_without_postprocessing_has_no_threshold(tmp_path) -> None:
    import tensorflow as tf

    double = tf.function(lambda x: 2 * x).get_concrete_function(tf.TensorSpec([1], tf.float32))
    file = tmp_path / "double.tflite"
    content = tf.lite.TFLiteConverter.from_concrete_functions([double]).convert()
    file.write_bytes(content)
    with pytest.raises(ConversionError, match=r"has no TFLite_Detection_PostProcess"):
        set_nms_score_threshold(file, 0.1)
    assert file.read_bytes() == content
