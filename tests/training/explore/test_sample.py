import shutil

import pytest

from training.cli import main
from training.data.annotations import read_annotated_photos


@pytest.mark.parametrize("asked", ["3", "0003", "Folder_0003", "Folder_0003.jpg"])
def test_one_photo_by_name_or_number(labelled, tmp_path, capsys, asked) -> None:
    photo = next(photo for photo in read_annotated_photos(labelled) if photo.path.stem == "Folder_0003")
    assert main(["explore", "--data", str(labelled), "--out", str(tmp_path), "--sample", asked]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Folder_0003.jpg: 240x180 pixels, group {photo.group}, fold {photo.fold}"
    assert lines[1] == "look-alikes: none"
    assert lines[3] == f"{len(photo.boxes)} boxes, in pixels:"
    number, name, xmin, *_, height = lines[5].split()
    assert (number, name) == ("1", {1: "normal", 2: "caries"}[int(photo.class_ids[0])])
    assert float(xmin) == pytest.approx(photo.boxes[0, 1] * 240, abs=0.06)
    assert float(height) == pytest.approx((photo.boxes[0, 2] - photo.boxes[0, 0]) * 180, abs=0.06)
    assert [path.name for path in tmp_path.iterdir()] == ["sample-Folder_0003.png"]


def test_the_look_alikes_of_a_photo_are_named(labelled, tmp_path, capsys) -> None:
    assert main(["explore", "--data", str(labelled), "--out", str(tmp_path), "--sample", "2"]) == 0
    assert "look-alikes: Folder_0001.jpg" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "nearest"), [("777", "Folder_0010.jpg, Folder_0009.jpg"), ("Folder_00O3", "Folder_0003.jpg")]
)
def test_an_unknown_photo_is_refused_with_the_nearest_names(labelled, tmp_path, capsys, asked, nearest) -> None:
    out = tmp_path / "out"
    assert main(["explore", "--data", str(labelled), "--out", str(out), "--sample", asked]) == 1
    error = capsys.readouterr().err
    assert f"there is no photo '{asked}'; the nearest names are" in error
    assert nearest in error
    assert not out.exists()


def test_a_number_of_two_photos_is_refused(labelled, tmp_path, capsys) -> None:
    data = tmp_path / "data"
    shutil.copytree(labelled, data)
    (data / "folds.csv").unlink()
    shutil.copy(data / "img_train" / "Folder_0004.jpg", data / "img_train" / "other_4.jpg")
    shutil.copy(data / "json_train" / "Folder_0004.json", data / "json_train" / "other_4.json")
    text = (data / "json_train" / "other_4.json").read_text().replace("Folder_0004.jpg", "other_4.jpg")
    (data / "json_train" / "other_4.json").write_text(text)
    assert main(["explore", "--data", str(data), "--out", str(tmp_path / "out"), "--sample", "4"]) == 1
    assert "'4' matches Folder_0004.jpg, other_4.jpg: give one name" in capsys.readouterr().err
