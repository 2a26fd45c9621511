import shutil

from app.detector.bundle import write_manifest
from training.cli import main


def test_a_detector_trained_on_all_photos_is_not_measured_on_them(
    shipped_bundle, rendered_data, tmp_path, capsys
) -> None:
    out = tmp_path / "run"
    trained_on_all = shutil.copytree(shipped_bundle.path, tmp_path / "bundle")
    data = {**shipped_bundle.manifest["data"], "photos": 9, "training_photos": 9, "held_out_fold": None}
    write_manifest(trained_on_all, {**shipped_bundle.manifest, "data": data})
    command = ["repackage", "--bundle", str(trained_on_all), "--data", str(rendered_data), "--out", str(out)]
    assert main([*command, "--version", "7"]) == 1
    assert "trained on all 9 photos, including fold 0, so none is left to measure it on" in capsys.readouterr().err
    assert not out.exists()


def test_a_fold_of_the_training_is_not_measured_on(forms, rendered_data, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    command = ["repackage", "--bundle", str(forms["bundle"]), "--data", str(rendered_data), "--out", str(out)]
    assert main([*command, "--version", "7", "--fold", "1"]) == 1
    assert "was trained on fold 1: its training held out fold 0" in capsys.readouterr().err
    assert not out.exists()
