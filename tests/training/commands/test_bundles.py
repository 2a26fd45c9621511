import csv
import json

import pytest

from training.cli import main


@pytest.mark.parametrize("kind", ["bundle", "saved_model", "tflite", "checkpoint"])
def test_detect_writes_what_caries_detect_writes(forms, rendered_data, tmp_path, capsys, kind) -> None:
    photo = next((rendered_data / "img_train").iterdir())
    arguments = ["detect", str(photo), "--model", str(forms[kind]), "--out", str(tmp_path), "--format", "jpeg"]
    assert main([*arguments, "--threshold", "0.001", "--max-boxes", "3", "--classes", "all", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["detections"]) == 3
    with (tmp_path / "detections.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3
    assert (tmp_path / f"[Result]{photo.stem}.jpg").exists()


def test_detect_says_where_its_threshold_comes_from_and_what_failed(forms, tmp_path, capsys) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    arguments = ["detect", str(tmp_path / "bad.jpg"), "--out", str(tmp_path / "out"), "--model"]
    assert main([*arguments, str(forms["tflite"])]) == 1
    error = capsys.readouterr().err
    assert "has no operating point: boxes of score 0.5 or more" in error
    assert "bad.jpg" in error
    assert main([*arguments, str(forms["tflite"]), "--max-boxes", "0"]) == 1
    assert "allowed is 1 to 100" in capsys.readouterr().err
