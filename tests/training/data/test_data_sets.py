import json
import shutil
from pathlib import Path

import pytest

from tests.training.rendered_sets import rendered
from training.cli import main
from training.data.annotations import AnnotationError, read_data
from training.data.data_sets import KNOWN, DataSet, Labels, find_data_set
from training.render import write_via
from training.run_folder import RunFolder


def described(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "dataset.toml"
    path.write_text(text)
    return path


def test_a_folder_without_a_description_is_named_after_itself(tmp_path) -> None:
    assert find_data_set(tmp_path) == (DataSet(tmp_path.name), tmp_path)
    assert find_data_set(tmp_path / "none")[0] == DataSet("none")


def test_the_description_in_the_folder_is_read(tmp_path) -> None:
    path = described(
        tmp_path / "folder",
        'name = "clinic"\ncredit = "A"\nlicence = "B"\nlabels = "nearly every tooth"\nweight = 3\n',
    )
    expected = DataSet("clinic", "A", "B", Labels.NEARLY_EVERY_TOOTH, 3)
    assert find_data_set(path.parent)[0] == expected
    assert find_data_set(path)[0] == expected
    described(tmp_path / "folder", "weight = 2")
    assert find_data_set(path)[0] == DataSet("folder", weight=2)


def test_a_description_elsewhere_names_the_photos(tmp_path) -> None:
    write_via(tmp_path / "photos", range(2), width=120, height=90)
    path = described(tmp_path / "descriptions", 'name = "clinic"\nphotos = "../photos"')
    assert [photo.source for photo in read_data(path).photos] == ["clinic"] * 2
    assert main(["prepare", "--data", str(path), "--out", str(tmp_path / "run")]) == 0
    run = RunFolder(tmp_path / "run")
    assert run.data_sets() == [DataSet("clinic")]
    assert {photo.source for photo in run.photos()} == {"clinic"}


def test_a_zip_file_may_have_a_description(tmp_path) -> None:
    described(write_via(tmp_path / "photos", range(2), width=120, height=90)[0].parents[1], "weight = 5")
    archive = Path(shutil.make_archive(str(tmp_path / "clinic"), "zip", tmp_path / "photos"))
    assert find_data_set(archive) == (DataSet("clinic", weight=5), archive)


@pytest.mark.parametrize("path", sorted(KNOWN.glob("*.toml")), ids=lambda path: path.stem)
def test_known_data_sets_are_recognized_by_folder_name_unless_described(path, tmp_path) -> None:
    folder = tmp_path / path.stem
    folder.mkdir()
    data_set, photos = find_data_set(folder)
    assert data_set.name == path.stem
    assert data_set.credit
    assert "CC BY 4.0" in data_set.licence
    assert photos == folder
    described(folder, "")
    assert find_data_set(folder)[0] == DataSet(path.stem)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lables = 'every tooth'", "lables is not a key of a data set; the nearest one is labels"),
        ("labels = 'some'", "labels is 'some', allowed are 'every tooth', 'nearly every tooth', 'carious teeth only'"),
        ("weight = -1", "weight is -1, allowed is a whole number from 0 to 20"),
        ("weight = true", "weight is True, allowed is a whole number from 0 to 20"),
        ("weight = 1.5", "weight is 1.5, allowed is a whole number from 0 to 20"),
        ("credit = 3", "credit is 3, allowed is a string"),
        ("photos = 3", "photos is 3, allowed is a string"),
        ("name = ' '", "name is empty"),
        ("name", "cannot be read"),
    ],
)
def test_a_wrong_description_is_refused_with_its_path(text, message, tmp_path, capsys) -> None:
    path = described(tmp_path / "data", text)
    with pytest.raises(AnnotationError, match=r"dataset\.toml") as caught:
        find_data_set(path.parent)
    assert message in str(caught.value)
    assert main(["prepare", "--data", str(path.parent), "--out", str(tmp_path / "run")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_keeps_the_descriptions_of_all_sets(tmp_path, capsys) -> None:
    rendered(tmp_path / "a", range(2), "A_")
    rendered(tmp_path / "b", range(10, 12), "B_")
    described(tmp_path / "b", 'name = "clinic"\nlabels = "nearly every tooth"\nlicence = "CC0"')
    data = [f"--data={tmp_path / name}" for name in ("b", "a")]
    assert main(["prepare", *data, "--out", str(tmp_path / "run")]) == 0
    run = RunFolder(tmp_path / "run")
    assert run.data_sets() == [DataSet("a"), DataSet("clinic", "", "CC0", Labels.NEARLY_EVERY_TOOTH)]
    assert {(photo.source, photo.group.split(":")[0]) for photo in run.photos()} == {("a", "a"), ("clinic", "clinic")}
    assert json.loads((run.records / "sets.json").read_text())[1]["labels"] == "nearly every tooth"
    assert "clinic: boxes on nearly every tooth\n" in capsys.readouterr().err
    (run.records / "sets.json").unlink()
    assert run.data_sets() == []
