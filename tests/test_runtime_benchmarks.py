"""What the comparison of runtimes does without their packages; `benchmarks/LOG.md` says what it found."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from app.detector.bundle import FLOAT32_MODEL, Bundle
from app.detector.detections import Detections
from app.detector.runtimes.litert import LiteRTRuntime, model_input
from app.photo import images

pytest.importorskip("ai_edge_litert")

from ai_edge_litert.interpreter import Interpreter

from benchmarks.runtimes.postprocess import decode_boxes, suppress
from benchmarks.runtimes.tflite_files import cut_postprocess, set_score_threshold

SCORE_THRESHOLD = 0.05


def test_postprocessing_in_numpy_is_that_of_litert(
    fast_bundle: Bundle, example_photos: list[Path], tmp_path: Path
) -> None:
    whole, heads = tmp_path / "whole.tflite", tmp_path / "heads.tflite"
    set_score_threshold(fast_bundle.path / FLOAT32_MODEL, whole, SCORE_THRESHOLD)
    postprocess = cut_postprocess(whole, heads)
    assert postprocess.score_threshold == pytest.approx(SCORE_THRESHOLD)
    runtime = LiteRTRuntime(whole)
    interpreter = Interpreter(model_path=str(heads))
    interpreter.allocate_tensors()
    (input_details,) = interpreter.get_input_details()
    for photo in example_photos[:4]:
        pixels = images.decode(photo.read_bytes()).pixels
        interpreter.set_tensor(input_details["index"], model_input(pixels, 320, 320))
        interpreter.invoke()
        encodings, scores = (interpreter.get_tensor(output["index"])[0] for output in interpreter.get_output_details())
        expected, found = runtime.detect(pixels), postprocess(encodings, scores)
        assert len(expected) > 5
        assert expected.scores.min() >= SCORE_THRESHOLD
        assert_same(found, expected)


def assert_same(found: Detections, expected: Detections) -> None:
    assert len(found) == len(expected)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
    np.testing.assert_array_equal(found.class_ids, expected.class_ids)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-5)


def test_a_threshold_leaves_the_boxes_above_it_as_they_were(
    fast_bundle: Bundle, example_photos: list[Path], tmp_path: Path
) -> None:
    set_score_threshold(fast_bundle.path / FLOAT32_MODEL, tmp_path / "whole.tflite", SCORE_THRESHOLD)
    pixels = images.decode(example_photos[0].read_bytes()).pixels
    everything = LiteRTRuntime(fast_bundle.path / FLOAT32_MODEL).detect(pixels)
    found = LiteRTRuntime(tmp_path / "whole.tflite").detect(pixels)
    assert_same(found, everything.where(everything.scores >= SCORE_THRESHOLD))


def test_an_encoding_of_zeros_is_the_anchor() -> None:
    anchors = np.array([[0.5, 0.4, 0.2, 0.1]], np.float32)
    scales = np.array([10, 10, 5, 5], np.float32)
    still = decode_boxes(np.zeros((1, 4), np.float32), anchors, scales)
    np.testing.assert_allclose(still, [[0.4, 0.35, 0.6, 0.45]], atol=1e-6)
    moved = decode_boxes(np.array([[10, 0, 5 * np.log(2), 0]], np.float32), anchors, scales)
    np.testing.assert_allclose(moved, [[0.5, 0.35, 0.9, 0.45]], atol=1e-6)


def test_suppression_keeps_the_best_of_boxes_that_overlap() -> None:
    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 0.9], [0, 0, 1, 0.5], [2, 2, 3, 3], [2, 2, 3, 3]], np.float32)
    assert suppress(boxes, 0.6, 10).tolist() == [0, 2, 3]
    assert suppress(boxes, 0.6, 2).tolist() == [0, 2]
    assert suppress(boxes[:0], 0.6, 2).tolist() == []


def test_the_boxes_of_two_runtimes_are_compared() -> None:
    compare = pytest.importorskip("benchmarks.runtimes.compare", exc_type=ImportError)
    sure = Detections([[0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.8, 0.8]], [0.9, 0.6], [1, 2])
    moved = Detections([[0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.8, 0.9]], [0.9, 0.6], [1, 2])
    other_class = Detections(sure.boxes, sure.scores, [2, 2])
    unsure = Detections(sure.boxes, [0.1, 0.1], [1, 2])
    for found, share in ((sure, 1.0), (moved, 0.5), (other_class, 0.5), (unsure, 0.0), (Detections.empty(), 0.0)):
        assert compare.agreement([sure], [found]) == share
    assert compare.agreement([sure, unsure], [sure, Detections.empty()]) == 1.0, "unsure boxes do not count"


def test_a_variant_that_does_not_run_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare = pytest.importorskip("benchmarks.runtimes.compare", exc_type=ImportError)
    monkeypatch.setattr(compare, "WORK", tmp_path)
    np.save(tmp_path / "photos.npy", np.zeros((1, 320, 320, 3), np.uint8))
    variant = compare.BY_NAME["litert-int8"]
    python = Path(sys.executable)
    with (
        pytest.raises(compare.VariantError, match=r"RuntimeUnavailable: .*cannot be loaded"),
        compare.running(variant, 1, tmp_path, tmp_path / "photos.npy", python),
    ):
        pass


def test_a_variant_detects_and_is_timed(
    fast_bundle: Bundle, example_photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = pytest.importorskip("benchmarks.runtimes.compare", exc_type=ImportError)
    monkeypatch.setattr(compare, "WORK", tmp_path)
    pixels = images.resize(images.decode(example_photos[0].read_bytes()).pixels, 320, 320)
    np.save(tmp_path / "photos.npy", pixels[np.newaxis])
    variant = compare.BY_NAME["litert-float32"]
    set_score_threshold(fast_bundle.path / FLOAT32_MODEL, tmp_path / variant.file, SCORE_THRESHOLD)
    with compare.running(variant, 1, tmp_path, tmp_path / "photos.npy", Path(sys.executable)) as worker:
        assert worker.loaded["memory_mb"] > worker.loaded["base_mb"] > 0
        assert len(worker.ask("time 2")["ms"]) == 2
        (rows,) = worker.ask("detect")["detections"]
    expected = LiteRTRuntime(tmp_path / variant.file).detect(pixels)
    np.testing.assert_allclose([row[4] for row in rows], expected.scores, atol=1e-6)


def test_the_table_has_a_row_for_each_variant_and_number_of_threads() -> None:
    compare = pytest.importorskip("benchmarks.runtimes.compare", exc_type=ImportError)
    timing = {"ms": 12.34, "of_baseline": 0.5, "memory_mb": 63.2, "load_s": 0.061}
    result = {
        "disk_mb": {"ai-edge-litert": 63.1},
        "accuracy": {"litert-int8": {"ap50": 0.6728}},
        "rows": [
            {"name": "litert-int8", "threads": 2, **timing},
            {"name": "ynnpack-float32", "threads": 1, "error": "no"},
        ],
    }
    assert compare.table(result).splitlines()[2:] == [
        "| LiteRT | int8 | 2 | 12.3 | 0.50 | 0.673 | 63 | 63 | 0.06 |",
        "| LiteRT CompiledModel, YNNPACK | float32 | 1 | does not run | | | | | |",
    ]


def test_what_the_comparison_installs_has_exact_versions() -> None:
    requirements = Path(__file__).parents[1] / "benchmarks" / "runtimes" / "requirements.txt"
    lines = requirements.read_text(encoding="utf-8").split()
    assert lines
    assert all("==" in line for line in lines)
