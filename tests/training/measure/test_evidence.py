"""A detector trained on all photos is packaged with the evidence of a cross-validation."""

import json
import shutil
from dataclasses import replace

import pytest

from app.detector.bundle import read_bundle
from app.detector.runtimes.load import load_runtime
from app.photo.decoding import decode
from tests.training.conftest import LARGER
from training.cli import main
from training.data.annotations import FOLDS
from training.measure.evidence import held_out_evidence, out_of_fold_evidence
from training.measure.out_of_fold import CrossValidationError, fold_folder, read_out_of_fold
from training.recipe import Recipe
from training.run import prepare_step
from training.run_folder import RunFolder


def test_the_bundle_has_the_out_of_fold_figures(
    tiny_run, tiny_recipe, cross_validation, rendered_data, tmp_path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("checkpoints", "bundle", "pretrained"))
    state = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**state, "validation_fold": None}))
    assert main(["package", "--out", str(run), "--cross-validation", str(cross_validation)]) == 0
    bundle = read_bundle(run / "bundle" / "tiny" / "1")
    assert bundle.calibration is not None
    assert "10 photos, each by a detector of the same recipe" in bundle.card
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


def test_a_held_out_fold_gives_calibration_and_points_for_every_model(cross_validation) -> None:
    found = read_out_of_fold(cross_validation)
    photos = [replace(photo, fold=0) for photo in found.photos]
    models = {
        "saved_model": found.predictions,
        "int8": read_out_of_fold(cross_validation, precision="int8").predictions,
    }
    evidence = held_out_evidence(0, photos, models, training_photos=40)
    assert evidence.measured_on == "fold 0, 10 photos that the detector was not trained on"
    assert evidence.calibration is not None
    assert list(evidence.evaluations) == list(models)
    for evaluation in evidence.evaluations.values():
        assert evaluation["score_threshold"] == evidence.points.default.score_threshold
        assert "photos without caries suspected" in evaluation["figures"]


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
    other = Recipe.from_dict({**Recipe.read(tiny_recipe).as_dict(), "num_steps": 21})
    with pytest.raises(CrossValidationError, match="num_steps 20 instead of 21"):
        out_of_fold_evidence(cross_validation, other, training_photos=0)


def test_another_data_credit_or_name_is_the_same_training(cross_validation, tiny_recipe) -> None:
    credited = Recipe.from_dict(
        {**Recipe.read(tiny_recipe).as_dict(), "data_credit": "A clinic", "model_name": "other"}
    )
    assert out_of_fold_evidence(cross_validation, credited, training_photos=0).evaluations


def test_a_detector_enlarged_after_training_has_the_figures_of_its_size(cross_validation, tiny_recipe) -> None:
    recipe = Recipe.read(tiny_recipe)
    enlarged = Recipe.from_dict({**recipe.as_dict(), "input_size": LARGER, "model_name": "tiny-larger"})
    evidence = [
        out_of_fold_evidence(cross_validation, one, training_photos=0, trained_input_size=320)
        for one in (recipe, enlarged)
    ]
    f1 = [item.evaluations["float32"]["figures"]["best F1 caries"]["value"] for item in evidence]
    assert f1[1] > f1[0] + 0.02
    other = Recipe.from_dict({**recipe.as_dict(), "input_size": 640})
    with pytest.raises(CrossValidationError, match="was not run at 640 pixels"):
        out_of_fold_evidence(cross_validation, other, training_photos=0, trained_input_size=320)
    # Trained at that size from the start it is another detector.
    with pytest.raises(CrossValidationError, match=f"were trained at 320 pixels, not at {LARGER}"):
        out_of_fold_evidence(cross_validation, enlarged, training_photos=0)


def test_nothing_is_trained_for_a_cross_validation_of_another_recipe(
    cross_validation, rendered_data, tiny_recipe, tmp_path, capsys
) -> None:
    command = ["run", "--data", str(rendered_data), "--out", str(tmp_path / "run"), "--recipe", str(tiny_recipe)]
    command += ["--set", "num_steps=21", "--fold", "none", "--cross-validation", str(cross_validation)]
    assert main(command) == 1
    assert "num_steps 20 instead of 21" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_training_on_all_photos_is_not_evaluated_in_between(prepared, small_recipe, monkeypatch, capsys) -> None:
    asked = []
    monkeypatch.setattr("training.run.train", lambda *arguments, **_: asked.append(arguments[2].evaluate_every))
    command = ["train", "--recipe", str(small_recipe), "--fold", "none", "--set", "evaluate_every=2", "--out"]
    assert main([*command, str(prepared)]) == 0
    assert asked == [0]
    assert main([*command, str(prepared), "--set", "early_stop_after=1"]) == 1
    assert "early_stop_after needs a held-out fold" in capsys.readouterr().err


def test_evaluations_during_the_training_are_the_same_training(cross_validation, tiny_recipe) -> None:
    evaluated = Recipe.from_dict({**Recipe.read(tiny_recipe).as_dict(), "evaluate_every": 5})
    assert out_of_fold_evidence(cross_validation, evaluated, training_photos=0).evaluations


def test_recipe_and_predictions_of_the_folds_are_enough(cross_validation, tiny_recipe, rendered_data, tmp_path) -> None:
    recipe = Recipe.read(tiny_recipe)
    for fold in range(FOLDS):
        kept = fold_folder(tmp_path, fold).path
        kept.mkdir()
        for name in ("run.json", "predictions.npz"):
            shutil.copy(fold_folder(cross_validation, fold).path / name, kept)
    prepare_step([rendered_data], RunFolder(tmp_path))
    evidence = out_of_fold_evidence(tmp_path, recipe, training_photos=0)
    again = out_of_fold_evidence(cross_validation, recipe, training_photos=0)
    assert evidence.points.default.score_threshold == again.points.default.score_threshold
