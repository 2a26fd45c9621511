from training.cli import main


def test_a_detector_trained_on_all_photos_is_not_measured_on_them(
    shipped_bundle, rendered_data, tmp_path, capsys
) -> None:
    out = tmp_path / "run"
    command = ["repackage", "--bundle", str(shipped_bundle.path), "--data", str(rendered_data), "--out", str(out)]
    assert main([*command, "--version", "7"]) == 1
    assert "trained on all 209 photos, including fold 0, so none is left to measure it on" in capsys.readouterr().err
    assert not out.exists()


def test_a_fold_of_the_training_is_not_measured_on(forms, rendered_data, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    command = ["repackage", "--bundle", str(forms["bundle"]), "--data", str(rendered_data), "--out", str(out)]
    assert main([*command, "--version", "7", "--fold", "1"]) == 1
    assert "was trained on fold 1: its training held out fold 0" in capsys.readouterr().err
    assert not out.exists()
