"""A detector trained on all photos is packaged with what a cross-validation of its recipe says of it."""

import json
import shutil

import numpy as np
import pytest

from app.bundle import read_bundle
from app.detections import Detections
from app.images import decode
from app.runtimes import load_runtime
from training.annotations import FOLDS
from training.cli import main
from training.cross_validation import CrossValidationError, compare_precisions, fold_folder
from training.out_of_fold import out_of_fold_evidence
from training.predictions import save_predictions
from training.recipe import Recipe
from training.run import configure_step, prepare_step
from training.run_folder import RunFolder


@pytest.fixture(scope="module")
def cross_validation(rendered_data, tiny_recipe, tmp_path_factory):
    """The folder of a cross-validation as it lies on disk, with made-up predictions: nine in ten of the classes right,
    by a detector that is surer than that, and an int8 model that says the same with rounding."""
    folder = tmp_path_factory.mktemp("cross")
    random = np.random.default_rng(3)
    recipe = Recipe.read(tiny_recipe)
    prepare_step(rendered_data, RunFolder(folder))
    for fold in range(FOLDS):
        run = fold_folder(folder, fold)
        configure_step(run, recipe, validation_fold=fold)
        found, rounded = {}, {}
        for photo in run.photos():
            if photo.fold == fold:
                wrong = random.random(len(photo.class_ids)) < 0.1
                classes = np.where(wrong, 3 - photo.class_ids, photo.class_ids).astype(np.int32)
                scores = random.uniform(0.95, 0.99, len(classes)).astype(np.float32)
                found[photo.path.name] = Detections(photo.boxes, scores, classes)
                rounded[photo.path.name] = Detections(photo.boxes, scores - np.float32(0.01), classes)
        save_predictions(found, run.path / "predictions.npz")
        save_predictions(rounded, run.path / "predictions_int8.npz")
    return folder


def test_the_bundle_says_what_was_measured_out_of_fold(
    tiny_run, tiny_recipe, cross_validation, rendered_data, tmp_path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("checkpoints", "bundle", "pretrained"))
    state = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**state, "validation_fold": None}))
    assert main(["package", "--out", str(run), "--cross-validation", str(cross_validation)]) == 0
    bundle = read_bundle(run / "bundle" / "tiny" / "1")
    assert bundle.calibration is not None
    assert "10 photos, each judged by a detector of the same recipe" in bundle.card
    assert "10 of the photos for training, 0 held out" in bundle.card
    models = bundle.manifest["metrics"]["models"]
    assert set(models) == {"float32", "int8"}
    for model in models.values():
        assert 0.8 < model["figures"]["best F1 caries"]["value"] < 0.97
        assert model["figures"]["calibration error"]["value"] < 0.12
    assert 0 < bundle.operating_point.score_threshold < 0.97, "on the scale of calibrated scores"
    photo = next(rendered_data.rglob("*.jpg"))
    detections = load_runtime(bundle, "litert").detect(decode(photo.read_bytes()).pixels)
    assert len(bundle.calibrated(detections)) % 2 == 0


def test_a_detector_that_saw_all_photos_needs_a_cross_validation(tiny_run, tmp_path, capsys) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("checkpoints", "bundle", "pretrained"))
    state = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**state, "validation_fold": None}))
    assert main(["package", "--out", str(run)]) == 1
    assert "give a cross-validation of the same recipe" in capsys.readouterr().err
    assert not (run / "bundle").exists()


def test_all_folds_are_trained_on_where_none_is_held_out(prepared, small_recipe) -> None:
    assert main(["configure", "--out", str(prepared), "--recipe", str(small_recipe), "--fold", "none"]) == 0
    trained_on, _ = (prepared / "pipeline.config").read_text().split("eval_input_reader")
    assert all(f"fold_{fold}.tfrecord" in trained_on for fold in range(FOLDS))
    assert RunFolder(prepared).configured()[1] is None


def test_a_cross_validation_of_another_recipe_is_refused(cross_validation, tiny_recipe) -> None:
    other = Recipe.of_values({**Recipe.read(tiny_recipe).as_dict(), "num_steps": 21})
    with pytest.raises(CrossValidationError, match="num_steps 20 instead of 21"):
        out_of_fold_evidence(cross_validation, other, [])


def test_the_cost_of_int8_is_measured(cross_validation) -> None:
    text = compare_precisions(cross_validation, range(FOLDS))
    assert "int8 - float32  mAP@.5: " in text
    written = json.loads((cross_validation / "int8.json").read_text())
    assert written["mAP@.5"]["interval"][0] <= written["mAP@.5"]["value"] <= written["mAP@.5"]["interval"][1]
    assert abs(written["mAP@.5"]["value"]) < 0.1
