import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.detector.detections import Detections
from training.cli import main
from training.data.annotations import AnnotatedPhoto
from training.measure.calibration import cross_fitted
from training.measure.metrics import best_f1, match_class
from training.measure.out_of_fold import OutOfFold, read_out_of_fold
from training.measure.review import (
    JudgedTooth,
    caries_probabilities,
    contradicted,
    false_marks,
    review,
    worst_misses,
)


def test_teeth_whose_label_is_contradicted_come_first(cross_validation, tmp_path) -> None:
    found = read_out_of_fold(cross_validation)
    kinds = tmp_path / "views.csv"
    rows = [f"{photo.path.name},{'front' if photo.fold < 2 else 'side'}" for photo in found.photos]
    kinds.write_text("\n".join(["image,view", *rows]), encoding="utf-8-sig")
    out = tmp_path / "review"
    text = review(found, out, kinds=kinds, resamples=20)

    # The made-up predictions are the labelled boxes, some of them of the other class.
    wrong = {
        (photo.path.name, str(row + 1))
        for photo, seen in zip(found.photos, found.predictions, strict=True)
        for row, box in enumerate(photo.boxes)
        if seen.class_ids[(seen.boxes == box).all(axis=1)].tolist() != [photo.class_ids[row]]
    }
    labels = list(csv.DictReader((out / "labels.csv").open()))
    assert {(row["image"], row["tooth"]) for row in labels[: len(wrong)]} == wrong
    misses = list(csv.DictReader((out / "misses.csv").open()))
    assert {row["label"] for row in misses} == {"caries"}
    carious_and_wrong = [row for row in labels[: len(wrong)] if row["label"] == "caries"]
    assert [row["tooth"] for row in misses[: len(carious_and_wrong)]] == [row["tooth"] for row in carious_and_wrong]
    assert Image.open(out / "labels.png").width == Image.open(out / "misses.png").width

    photos = list(csv.DictReader((out / "photos.csv").open()))
    assert sorted(row["image"] for row in photos) == sorted(photo.path.name for photo in found.photos)
    by_name = {photo.path.name: photo for photo in found.photos}
    for row in photos:
        assert int(row["teeth"]) == len(by_name[row["image"]].boxes)
        assert int(row["labelled_carious"]) == (by_name[row["image"]].class_ids == 2).sum()
        assert int(row["rightly_suspected"]) <= min(int(row["suspected"]), int(row["labelled_carious"]))
    _, counts = best_f1(match_class(found.photos, cross_fitted(found.photos, found.predictions)))
    assert sum(int(row["suspected"]) for row in photos) == counts.shown
    assert sum(int(row["rightly_suspected"]) for row in photos) == counts.true
    far = [abs(float(row["excess"])) for row in photos]
    assert far == sorted(far, reverse=True)
    assert far[0] > 0

    verdicts = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[:4]]
    assert verdicts[0] == ["photos", "caries_suspected", "no_caries_found", "not_assessable"]
    with_caries = sum((photo.class_ids == 2).any() for photo in found.photos)
    assert [sum(map(int, row[1:])) for row in verdicts[2:]] == [with_caries, 10 - with_caries]
    # The other teeth score below the threshold, so photos without caries are not suspected.
    assert int(verdicts[2][1]) >= with_caries - 1
    assert int(verdicts[3][1]) <= 1

    spread = (out / "dispersion.md").read_text(encoding="utf-8")
    assert spread in text
    cells = [line.split("|") for line in text.partition(spread)[2].splitlines() if line.startswith("|")][2:]
    names = [row[1].strip() for row in cells]
    assert names == ["all", "longer side: 321 to 640", "view: front", "view: side"]
    of_photos, of_teeth, of_carious = (np.array([int(row[cell]) for row in cells]) for cell in (2, 3, 4))
    assert of_photos.tolist() == [10, 10, 4, 6]
    assert of_teeth[0] == of_teeth[1] == of_teeth[2] + of_teeth[3]
    assert of_carious[0] == of_carious[2] + of_carious[3]


def test_photos_of_one_group_are_reviewed_without_calibration(cross_validation, tmp_path) -> None:
    found = read_out_of_fold(cross_validation, [2])
    photos = [replace(photo, group="one") for photo in found.photos]
    text = review(OutOfFold(photos, found.predictions), tmp_path, resamples=5)
    assert text.startswith("Not calibrated: photos of one group only")
    assert text.count("Not calibrated") == 1
    assert (tmp_path / "labels.png").exists()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"image,view\nanother.jpg,front\n", "has no row for 10 photos, such as "),
        ("image,view\nanother.jpg,앞\n".encode("cp949"), "views.csv cannot be read as CSV in UTF-8"),
        (None, "views.csv cannot be read as CSV in UTF-8"),
    ],
    ids=["lacks photos", "another encoding", "not there"],
)
def test_a_table_of_kinds_that_cannot_be_used_is_refused(cross_validation, tmp_path, capsys, table, message) -> None:
    kinds = tmp_path / "views.csv"
    if table is not None:
        kinds.write_bytes(table)
    command = ["review", "--cross-validation", str(cross_validation), "--out", str(tmp_path / "review")]
    assert main([*command, "--kinds", str(kinds)]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "review").exists()


def test_a_detector_is_reviewed_on_the_fold_that_it_did_not_see(forms, rendered_data, tmp_path, capsys) -> None:
    command = ["review", "--model", str(forms["bundle"]), "--data", str(rendered_data), "--out", str(tmp_path / "out")]
    assert main([*command, "--folds", "0,1"]) == 1
    assert "was trained on fold 1" in capsys.readouterr().err
    assert main([*command, "--folds", "0"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"misses.csv", "false_marks.csv", "verdicts.md"}
    assert main(["review", "--out", str(tmp_path / "out")]) == 1
    assert "give --cross-validation FOLDER, or --model DETECTOR and --data FOLDER" in capsys.readouterr().err


def test_false_marks_are_the_boxes_of_caries_without_a_label_of_caries() -> None:
    boxes = np.array([[0, 0, 0.1, 0.1], [0, 0.2, 0.1, 0.3], [0, 0.4, 0.1, 0.5]], np.float32)
    photo = AnnotatedPhoto(Path("a.jpg"), 100, 100, boxes[:2], np.array([2, 1], np.int32), "a", 0)
    found = Detections(
        boxes[[2, 0, 1, 1]], np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.array([2, 2, 2, 1], np.int32)
    )
    marks = false_marks([photo], [found])
    assert [(round(mark.score, 1), mark.class_id) for mark in marks] == [(0.9, None), (0.7, 1)]
    assert marks[1].box.tolist() == boxes[1].tolist()


def test_missed_teeth_are_the_worst_misses_and_contradict_nothing() -> None:
    boxes = np.array([[0, 0, 0.1, 0.1], [0, 0, 0.2, 0.2], [0, 0, 0.3, 0.3], [0, 0, 0.4, 0.4]], np.float32)
    photo = AnnotatedPhoto(Path("a.jpg"), 100, 100, boxes, np.array([2, 2, 2, 1], np.int32), "a", 0)
    judged = [JudgedTooth(photo, row, caries) for row, caries in enumerate([None, None, 0.3, 0.9])]
    assert [tooth.row for tooth in worst_misses(judged)] == [1, 0, 2]
    assert [tooth.row for tooth in contradicted(judged)] == [3, 2]
    assert [tooth.opinion for tooth in judged] == ["not found", "not found", "0.30", "0.90"]


def test_found_teeth_have_a_probability_of_caries() -> None:
    boxes = np.array([[0.1, 0.1, 0.4, 0.3], [0.1, 0.4, 0.4, 0.6], [0.1, 0.7, 0.4, 0.9]], np.float32)
    photo = AnnotatedPhoto(Path("a.jpg"), 100, 100, boxes, np.array([1, 2, 2], np.int32), "a", 0)
    found = Detections(boxes[[0, 0, 1]], np.array([0.8, 0.2, 0.6]), np.array([1, 2, 2]))
    probabilities = caries_probabilities(photo, found)
    assert np.log(probabilities[0] / (1 - probabilities[0])) == pytest.approx(2 * np.log(0.2 / 0.8))
    assert probabilities[1] > 0.5
    assert np.isnan(probabilities[2])
    assert np.isnan(caries_probabilities(photo, Detections.empty())).all()
