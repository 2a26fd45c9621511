"""One detector as bundle, SavedModel, TFLite file and checkpoint: found, measured and used alike."""

import json
import shutil

import numpy as np
import pytest

from app.photo.decoding import decode
from training.cli import main
from training.measure.detectors import find_detector
from training.measure.predictions import DetectorError
from training.release.parity import compare


def test_every_form_of_a_detector_detects_the_same(forms, rendered_data, tiny_run) -> None:
    photos = [decode(path.read_bytes()).pixels for path in sorted((rendered_data / "img_train").iterdir())[:3]]
    seen = {}
    for kind, path in forms.items():
        detector = find_detector(path)
        assert detector.kind == kind
        runtime = detector.load()
        seen[kind] = [runtime.detect(pixels) for pixels in photos]
        if kind == "checkpoint":
            from training.model.model_runtime import ModelRuntime

            assert isinstance(runtime, ModelRuntime)
            assert runtime.graph.experimental_get_tracing_count() == 1
    for kind, detections in seen.items():
        difference = compare(seen["saved_model"], detections)
        assert difference.max_score_difference < 1e-4, kind
        # After 20 steps scores of neighbouring anchors are nearly equal, and their order is a matter of rounding.
        assert difference.not_found <= 0.1 * difference.compared, kind
        for one, other in zip(seen["saved_model"], detections, strict=True):
            np.testing.assert_allclose(one.scores[:20], other.scores[:20], atol=1e-4)
    prefix = find_detector(tiny_run / "checkpoints" / "ckpt-20")
    folder = find_detector(tiny_run / "checkpoints")
    assert prefix.bundle.sha256 == folder.bundle.sha256


def test_a_path_without_a_detector_is_refused_with_what_is_missing(tmp_path, forms) -> None:
    with pytest.raises(DetectorError, match=r"neither bundle\.json .* nor is it a \.tflite file"):
        find_detector(tmp_path)
    with pytest.raises(DetectorError, match="is not a detector"):
        find_detector(tmp_path / "missing.tflite")
    alone = tmp_path / "deep" / "er" / "alone"
    shutil.copytree(forms["saved_model"], alone)
    with pytest.raises(DetectorError, match="give --input-size"):
        find_detector(alone)
    assert find_detector(alone, input_size=320).bundle.input_width == 320


def test_the_configuration_of_a_checkpoint_is_found_two_folders_above_it(forms, tiny_run, tmp_path) -> None:
    best = tmp_path / "checkpoints" / "best"
    best.mkdir(parents=True)
    shutil.copy(tiny_run / "pipeline.config", tmp_path)
    for file in (tiny_run / "checkpoints").glob("ckpt-20.*"):
        shutil.copy(file, best)
    assert find_detector(best / "ckpt-20").bundle.input_width == 320


def test_evaluate_measures_a_run_on_the_fold_that_it_held_out(tiny_run, tmp_path, capsys) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("pretrained"))
    state = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**state, "validation_fold": 3}))
    for part in ("", "export/model.tflite", "bundle/tiny/1"):
        command = ["evaluate", "--model", str(run / part), "--out", str(run)]
        assert main(command) == 0
        text = capsys.readouterr().out
        assert "2 photos of fold 3" in text
        assert "trained on them" not in text
    assert main([*command, "--fold", "0"]) == 0
    assert (
        "If these photos are from its data, it was trained on them and the figures are optimistic"
        in capsys.readouterr().out
    )


def test_evaluate_measures_any_of_them(forms, rendered_data, tmp_path, capsys) -> None:
    for kind, path in forms.items():
        out = tmp_path / kind
        assert main(["evaluate", "--model", str(path), "--data", str(rendered_data), "--out", str(out)]) == 0
        text = capsys.readouterr().out
        assert text == (out / "evaluation.md").read_text()
        assert text.startswith(f"# {kind} ")
        assert ("cross-fitted" in text) == (kind != "bundle")
        figures = json.loads((out / "evaluation.json").read_text())["figures"]
        assert {"mAP@.5", "AP@.5 caries", "FROC mean sensitivity", "photo AUC", "calibration error"} <= set(figures)
        assert (out / "froc.png").exists()


def test_evaluate_has_a_row_for_each_data_set_and_compares_detectors(forms, rendered_data, tmp_path, capsys) -> None:
    other = tmp_path / "other"
    shutil.copytree(rendered_data, other)
    for path in [*other.rglob("*.jpg"), *other.rglob("*.json")]:
        path.rename(path.with_name(f"other-{path.name}"))
    (other / "folds.csv").unlink(missing_ok=True)
    data = ["--data", str(rendered_data), "--data", str(other), "--fold", "all"]
    out = tmp_path / "out"
    command = ["evaluate", "--model", str(forms["tflite"]), *data, "--out", str(out), "--resamples", "3"]
    assert main([*command, "--against", str(forms["bundle"])]) == 0
    text = capsys.readouterr().out
    assert f"| {rendered_data.name} | 10 |" in text
    assert "| other | 10 |" in text
    assert "| mean |  |" in text
    columns = json.loads((out / "comparison.json").read_text())
    assert list(columns) == [*sorted([rendered_data.name, "other"]), "mean"]
    assert columns["mean"]["figures"]["mAP@.5"]["value"] is not None


def test_evaluate_over_all_folds_warns(forms, rendered_data, tmp_path, capsys) -> None:
    arguments = ["--model", str(forms["tflite"]), "--data", str(rendered_data), "--out", str(tmp_path), "--fold", "all"]
    assert main(["evaluate", *arguments, "--threshold", "0.3"]) == 0
    text = capsys.readouterr().out
    assert "10 photos of all folds" in text
    assert "may have been trained on some of these photos" in text
    assert "at score 0.3000" in text
    assert main(["evaluate", *arguments, "--threshold", "3"]) == 1
    assert "allowed is 0 to 1" in capsys.readouterr().err
