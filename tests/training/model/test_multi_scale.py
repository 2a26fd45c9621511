"""A detector with several input sizes: in every runtime the fusion of the single sizes."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from app.detector.bundle import Bundle, read_bundle
from app.detector.fusion import fuse
from app.detector.runtimes.load import load_runtime
from app.photo.decoding import decode
from app.photo.resizing import resize
from training.cli import main
from training.data.annotations import read_annotated_photos
from training.enlarge import enlarge_run
from training.measure.detectors import find_detector
from training.model.checkpoints import load_trained
from training.release.tflite import FILES
from training.run_folder import RunFolder


@pytest.fixture(scope="module")
def run(tiny_run, rendered_data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("multi") / "run"
    command = ["enlarge", "--data", str(rendered_data), "--model", str(tiny_run / "bundle" / "tiny" / "1")]
    assert main([*command, "--size", "96+160", "--name", "tiny-both", "--out", str(out)]) == 0
    for step in ("export", "tflite", "package"):
        assert main([step, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def bundle(run) -> Bundle:
    return read_bundle(run / "bundle" / "tiny-both" / "1")


def test_every_runtime_returns_the_fusion_of_the_single_sizes(run, bundle, rendered_data, tmp_path) -> None:
    photos = [decode(photo.path.read_bytes()).pixels for photo in read_annotated_photos(rendered_data)[:2]]
    single = [RunFolder(tmp_path / str(size), shared_records=run / "records") for size in (160, 96)]
    for folder, size in zip(single, (160, 96), strict=True):
        enlarge_run(RunFolder(run), folder, (size,))
        assert folder.weights_of.read_text().strip() == str(run), "whose photos it has seen"
    assert RunFolder(run).weights_of.read_text().strip().endswith("bundle/tiny/1")
    large, small = map(load_trained, single)
    runtimes = [load_runtime(bundle, kind, batch_size=2) for kind in ("litert", "tensorflow")]
    runtimes.append(find_detector(run).load())
    for pixels in photos:
        (inputs,) = resized = resize(pixels, 160, 160)[np.newaxis]
        one_by_one = [large.detect(inputs), *small.detect_resized(tf.image.resize(resized, (96, 96)))]
        expected = fuse(one_by_one)
        assert len(expected) > 5
        for runtime in runtimes:
            found = runtime.detect(pixels)
            assert found.scores[:10] == pytest.approx(expected.scores[:10], abs=1e-4), runtime.name
            assert found.boxes[:3] == pytest.approx(expected.boxes[:3], abs=1e-3), runtime.name
    together = runtimes[1].detect_batch(photos)
    for pixels, found in zip(photos, together, strict=True):
        assert found.scores[:10] == pytest.approx(runtimes[1].detect(pixels).scores[:10], abs=1e-5)


def test_the_weights_are_in_each_file_once(run, tiny_run) -> None:
    for precision in ("float32", "int8"):
        of_one, of_both = ((folder / "export" / FILES[precision]).stat().st_size for folder in (tiny_run, run))
        assert of_both < 1.25 * of_one, precision


def test_bundle_and_card_state_the_sizes(run, bundle) -> None:
    assert json.loads((run / "run.json").read_text())["recipe"]["multi_scale"] == [96]
    assert bundle.manifest["input"]["multi_scale"] == [96]
    assert (bundle.input_height, bundle.manifest["format_version"]) == (160, 3)
    assert "at 160 x 160 pixels and, of the same photo, at 96 x 96, fused tooth by tooth" in bundle.card
