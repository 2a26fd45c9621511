import json
import shutil

import numpy as np
import pytest

from training.cli import main
from training.measure.out_of_fold import CrossValidationError, fold_folder, read_out_of_fold
from training.render import write_via
from training.run_folder import RunFolder


def test_each_photo_is_predicted_by_a_detector_trained_without_it(small_data, small_recipe, tmp_path, capsys) -> None:
    out = tmp_path / "cross"
    command = ["cross-validate", "--data", str(small_data), "--out", str(out), "--recipe", str(small_recipe)]
    command += ["--set", "num_steps=2", "--set", "batch_norm_decay=0.001"]
    assert main([*command, "--folds", "0", "--input-sizes", "160,128+160"]) == 0
    text = capsys.readouterr().out
    assert "2 photos" in text
    with pytest.raises(CrossValidationError, match="fold 3 has not been trained"):
        read_out_of_fold(out, [0, 3])

    losses = (out / "fold_0" / "checkpoints" / "losses.jsonl").read_text()
    assert main([*command, "--folds", "3,0"]) == 0
    captured = capsys.readouterr()
    assert "fold 0    finished earlier" in captured.err
    assert (out / "fold_0" / "checkpoints" / "losses.jsonl").read_text() == losses
    assert "4 photos" in captured.out
    evaluation = json.loads((out / "evaluation.json").read_text())
    assert evaluation["folds"] == [0, 3]
    assert evaluation["recipe"]["num_steps"] == 2

    found = read_out_of_fold(out, [0, 3])
    assert [photo.fold for photo in found.photos] == [0, 0, 3, 3]
    for fold in (0, 3):
        config = (out / f"fold_{fold}" / "pipeline.config").read_text()
        trained_on, held_out = config.split("eval_input_reader")
        assert f"fold_{fold}.tfrecord" not in trained_on
        assert f"fold_{fold}.tfrecord" in held_out
    # Two steps of training leave nothing to calibrate, which does not spoil the rest.
    assert "Not calibrated: of" in captured.out or (out / "calibrated" / "evaluation.json").exists()
    # At another size the same weights give other detections.
    run = fold_folder(out, 0, (160,))
    for file in ("ckpt-2.index", "ckpt-2.data-00000-of-00001"):
        weights = (fold_folder(out, 0).checkpoints / file).read_bytes()
        assert (run.checkpoints / file).read_bytes() == weights
    recipe, held_out = run.configured()
    assert (recipe.input_size, recipe.model_name, held_out) == (160, "small-160", 0)
    assert RunFolder.part(run.path).records == out / "records"
    assert "# small at 160 px, out of fold" in text
    recipe, _ = fold_folder(out, 0, (160, 128)).configured()
    assert (recipe.input_size, recipe.multi_scale, recipe.model_name) == (160, (128,), "small-160")
    assert "# small at 160+128 px, out of fold" in text
    of_sizes = [read_out_of_fold(out, [0], sizes=sizes).predictions[0] for sizes in (None, (160,), (160, 128))]
    assert len({found.scores.tobytes() for found in of_sizes}) == 3
    # State, seconds and predictions of the folds are enough to measure them again.
    kept = tmp_path / "kept"
    for path in (*out.rglob("run.json"), *out.rglob("seconds.json"), *out.rglob("predictions.npz")):
        (kept / path.relative_to(out)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, kept / path.relative_to(out))
    command[command.index("--out") + 1] = str(kept)
    assert main([*command, "--folds", "0", "--input-sizes", "160,128+160"]) == 0
    assert capsys.readouterr().out == text
    assert not list(kept.rglob("checkpoints"))
    assert main([*command, "--folds", "0", "--set", "num_steps=3"]) == 1
    assert "fold_0 was trained by another recipe: num_steps 2 instead of 3" in capsys.readouterr().err
    # Other photos under the same names are not measured with the predictions of these.
    others = tmp_path / "others"
    write_via(others, range(20, 30), width=240, height=180)
    command[command.index("--data") + 1] = str(others)
    assert main([*command, "--folds", "0"]) == 1
    assert "fold_0 has a training of other photos" in capsys.readouterr().err
    # Another photo's boxes would be others: the detectors were trained on different folds.
    assert all(np.isfinite(item.scores).all() and len(item) for item in found.predictions)
