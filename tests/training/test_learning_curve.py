from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.detector.detections import Detections
from training import cross_validation
from training.cli import main
from training.commands import studies
from training.data.annotations import AnnotatedPhoto
from training.learning_curve import Part, learning_curve, per_doubling, write_curve
from training.measure.sources import SourcesAssessment, assess_sources
from training.model.pretrained.start import Start
from training.model.train import LOSSES
from training.recipe import Recipe
from training.run import prepare_step, train_step
from training.run_folder import RunFolder


class FindsNothing:
    def detect(self, pixels: object) -> Detections:
        return Detections.empty()


def no_training(run: RunFolder) -> None:
    """In place of a training of a minute."""
    run.checkpoints.mkdir()
    (run.checkpoints / LOSSES).write_text('{"step": 1, "seconds": 1.0}\n')


@pytest.mark.parametrize("is_real", [False, pytest.param(True, marks=pytest.mark.systems)])
def test_a_detector_is_trained_once_for_each_share(
    small_data, small_recipe, tmp_path, capsys, monkeypatch, is_real
) -> None:
    train = train_step if is_real else no_training
    trained = []
    if not is_real:
        monkeypatch.setattr(cross_validation, "load_trained", lambda run: FindsNothing())
    out = tmp_path / "curve"
    command = ["learning-curve", "--data", str(small_data), "--out", str(out), "--recipe", str(small_recipe)]
    command += ["--set", "num_steps=2", "--set", "warmup_steps=1", "--set", "batch_norm_decay=0.001"]
    command += ["--shares", "1,0.25", "--resamples", "20"]

    def interrupted_once_at_the_full_share(run: RunFolder) -> None:
        trained.append(run.path.name)
        if trained == ["share_0.25", "share_1"]:
            raise KeyboardInterrupt
        train(run)

    monkeypatch.setattr(cross_validation, "train_step", interrupted_once_at_the_full_share)
    assert main(command) == 130
    assert not (out / "learning_curve.md").exists()
    capsys.readouterr()
    assert main(command) == 0
    captured = capsys.readouterr()
    assert "share 0.25 finished earlier" in captured.err
    assert trained == ["share_0.25", "share_1", "share_1"]
    assert captured.out == (out / "learning_curve.md").read_text()

    runs = [RunFolder.part(out / f"share_{share}") for share in ("0.25", "1")]
    names = [{photo.path.name for photo in run.training_photos()} for run in runs]
    assert [len(one) for one in names] == [2, 8]
    assert names[0] < names[1]
    for run in runs:
        assert run.records == out / "records"
        assert not (run.path / "records").exists()
    found = json.loads((out / "learning_curve.json").read_text())
    assert [(part["share"], list(part["photos"].values())) for part in found["parts"]] == [(0.25, [2]), (1, [8])]
    assert "2 photos of fold 0, held out from 2 trainings of 2 steps each" in captured.out
    assert "Each doubling of the photos gave" in captured.out

    for options, message in (
        (["--set", "seed=9"], "share_0.25 was trained by another recipe: seed 1 instead of 9"),
        (["--fold", "1"], "share_0.25 was trained with fold 0 held out instead of 1"),
    ):
        assert main([*command, *options]) == 1
        assert message in capsys.readouterr().err
    monkeypatch.setattr(studies, "read_start", lambda arguments: Start("other", "0", "", tmp_path))
    assert main(command) == 1
    assert "share_0.25 has a training that started from other weights" in capsys.readouterr().err
    assert len(trained) == 3


def test_no_part_stops_before_the_others(small_data, small_recipe, tmp_path, monkeypatch) -> None:
    recipe = replace(Recipe.read(small_recipe), evaluate_every=1, early_stop_after=1)
    monkeypatch.setattr(cross_validation, "train_step", no_training)
    monkeypatch.setattr(cross_validation, "load_trained", lambda run: FindsNothing())
    prepare_step([small_data], RunFolder(tmp_path))
    text = learning_curve(tmp_path, recipe, [0.5, 1], fold=0, resamples=5)
    for share in (0.5, 1):
        configured, _ = RunFolder(tmp_path / f"share_{share:g}").configured()
        assert configured == replace(recipe, training_share=share, early_stop_after=0)
    assert "Share 1 is not calibrated: " in text
    assert text.endswith("Each doubling of the photos gave +0.000 [+0.000, +0.000] F1.\n")


def test_a_fold_without_caries_is_refused_before_training(small_data, small_recipe, tmp_path, capsys) -> None:
    command = ["learning-curve", "--data", str(small_data), "--out", str(tmp_path / "x"), "--recipe", str(small_recipe)]
    assert main([*command, "--fold", "0", "--rename", "caries=normal", "--rename", "normal=normal"]) == 1
    assert "fold 0 has no photo with caries to measure on" in capsys.readouterr().err
    assert not list((tmp_path / "x").glob("share_*"))


SHARES_FOUND = {4: 0.25, 8: 0.5, 16: 0.75}
"""Shares of the carious teeth that are found, by training photos."""


def assessed(found: float, sources: tuple[str, ...]) -> SourcesAssessment:
    """Eight carious teeth on each of twelve photos, of which the detector finds the first ones."""
    ends = np.arange(1, 9, dtype=np.float32)[:, None] / 10
    boxes = np.concatenate([ends, ends, ends + 0.08, ends + 0.08], axis=1)
    classes = np.full(8, 2, np.int32)
    seen = round(8 * found)
    photos = [
        AnnotatedPhoto(Path(f"{number}.jpg"), 640, 480, boxes, classes, str(number), 0, sources[number % len(sources)])
        for number in range(12)
    ]
    detections = Detections(boxes[:seen], np.full(seen, 0.9, np.float32), classes[:seen])
    return assess_sources(photos, [detections] * 12, score_threshold=0.5, resamples=5)


def parts(*sources: str) -> list[Part]:
    return [
        Part(photos / 16, {"a": photos - 1, "b": 1}, assessed(found, sources)) for photos, found in SHARES_FOUND.items()
    ]


def test_the_gain_of_a_doubling_is_the_slope_of_the_line() -> None:
    curve = parts("a", "b")
    f1 = [2 * found / (1 + found) for found in SHARES_FOUND.values()]
    expected = np.polyfit(np.log2(list(SHARES_FOUND)), f1, 1)[0]
    gain = per_doubling(curve)
    assert gain is not None
    assert gain.value == pytest.approx(expected)
    # All photos are equal, so every resample gives the same figures.
    assert gain.interval == pytest.approx((expected, expected))


def test_parts_of_the_same_photos_have_no_slope(tmp_path) -> None:
    one = parts("a")[0]
    assert per_doubling([one, replace(one, share=1.0)]) is None
    assert "doubling" not in write_curve([one], "# Curve\n", tmp_path)
    assert "f1_per_doubling" not in json.loads((tmp_path / "learning_curve.json").read_text())


def test_the_files_have_the_figures_of_the_sources_and_their_mean(tmp_path) -> None:
    curve = parts("a", "b")
    curve[0] = replace(curve[0], not_calibrated="of 3 teeth detected, 0 are caries")
    text = write_curve(curve, "# Curve\n", tmp_path, fold=0)
    assert "Share 0.25 is not calibrated: of 3 teeth detected, 0 are caries.\n" in text
    assert "| 0.5 | a | 7 | 0.667 [0.667, 0.667] |" in text
    assert "| 0.5 | b | 1 | 0.667 [0.667, 0.667] |" in text
    assert "| 1 | mean | 16 | 0.857 [0.857, 0.857] |" in text
    assert text.endswith("Each doubling of the photos gave +0.229 [+0.229, +0.229] mean F1.\n")
    assert text == (tmp_path / "learning_curve.md").read_text()
    found = json.loads((tmp_path / "learning_curve.json").read_text())
    assert found["fold"] == 0
    assert found["parts"][1]["figures"]["F1"]["mean"]["value"] == pytest.approx(2 / 3)
    assert set(found["parts"][2]["figures"]["AP@.5 caries"]) == {"a", "b", "mean"}
    assert found["f1_per_doubling"]["value"] == pytest.approx(0.2286, abs=1e-3)
    with Image.open(io.BytesIO((tmp_path / "learning_curve.png").read_bytes())) as picture:
        assert picture.format == "PNG"
    svg = (tmp_path / "learning_curve.svg").read_bytes()
    assert b"<svg" in svg
    write_curve(curve, "# Curve\n", tmp_path, fold=0)
    assert (tmp_path / "learning_curve.svg").read_bytes() == svg
    # Of one source, its figures are the mean's.
    assert "| mean |" not in write_curve(parts("a"), "# Curve\n", tmp_path)
