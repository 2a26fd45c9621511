"""A training of two folds on rendered photos, by the command that people use."""

from pathlib import Path

import numpy as np
import pytest

from app.detections import Detections
from training.annotations import read_annotated_photos
from training.cli import main
from training.second_look import classifier, folds

SETTINGS = ["crop_size=32", "epochs=1", "views=1", "batch_size=16", "background=0.3", "learning_rate=0.001"]


@pytest.fixture(scope="module")
def command(small_data, tmp_path_factory) -> list[str]:
    command = ["second-look", "--data", str(small_data), "--out", str(tmp_path_factory.mktemp("look"))]
    for setting in SETTINGS:
        command += ["--set", setting]
    return command


def test_every_tooth_is_judged_by_a_classifier_that_never_saw_it(command, small_data, capsys, monkeypatch) -> None:
    out, photos = Path(command[4]), read_annotated_photos(small_data)
    seen = []

    def remember(classifier_, views, labels, chosen, recipe):
        seen.append((labels, chosen))
        return classifier.train(classifier_, views, labels, chosen, recipe)

    monkeypatch.setattr(folds, "train", remember)
    assert main([*command, "--folds", "3"]) == 0
    text = capsys.readouterr().out
    judged = [photo for fold in (3,) for photo in photos if photo.fold == fold]
    assert f"| second look | {sum(len(photo.boxes) for photo in judged)} |" in text
    assert "2 photos of the folds 3" in text
    assert "Labelled teeth taken for none" in text
    for fold, (labels, chosen) in zip((3,), seen, strict=True):
        of_others = [label - 1 for photo in photos if photo.fold != fold for label in photo.class_ids.tolist()]
        trained_on = labels[chosen]
        assert sorted(trained_on[trained_on < 2].tolist()) == sorted(of_others)
        assert 0 < (trained_on == 2).sum() <= 0.4 * len(of_others)

    # The weights that were kept say what was kept of the held-out teeth; the same command trains nothing again.
    trained, recipe = folds.load_fold(out, 3)
    photo = judged[-1]
    again = folds.look(classifier.Look(trained), photo, photo.boxes, recipe)
    (kept,) = folds.read_looks(out / "fold_3" / folds.TEETH, [photo])
    assert again == pytest.approx(kept, abs=1e-6)
    assert again.sum(axis=1) == pytest.approx(1.0)
    assert main([*command, "--folds", "3"]) == 0
    assert len(seen) == 1
    assert main([*command, "--folds", "3", "--set", "epochs=2"]) == 1
    assert "another recipe" in capsys.readouterr().err

    detections = [Detections(photo.boxes, np.linspace(0.9, 0.5, len(photo.boxes)), photo.class_ids) for photo in judged]
    text = folds.assess_folds(out, photos, [3], detections)
    assert "teeth that the detector found" in text
    assert "| detector | " in text
