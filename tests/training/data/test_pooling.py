import json
import shutil
from pathlib import Path

import pytest

from tests.training.rendered_sets import rename, rendered
from training.cli import main
from training.data.annotations import FOLDS, read_annotated_photos
from training.data.saved_photos import save_photos
from training.run_folder import RunFolder


@pytest.fixture
def sets(tmp_path) -> list[Path]:
    return [rendered(tmp_path / "first", range(6), "A_"), rendered(tmp_path / "second", range(6, 13), "B_")]


def prepare(out: Path, *sets: Path, options: tuple[str, ...] = ()) -> int:
    return main(["prepare", *(f"--data={path}" for path in sets), "--out", str(out), *options])


def test_each_set_is_grouped_and_dealt_into_folds_by_itself(sets, tmp_path, capsys) -> None:
    # A copy of a photo in another set does not join its group.
    for kind in ("img_train", "json_train"):
        first = min((sets[0] / kind).iterdir())
        rename(Path(shutil.copy(first, sets[1] / kind)), "B_copy")
    assert prepare(tmp_path / "run", *sets) == 0
    shown = capsys.readouterr().err
    photos = RunFolder(tmp_path / "run").photos()
    assert [photo.path.name for photo in photos] == sorted(photo.path.name for photo in photos)
    for folder in sets:
        alone = read_annotated_photos(folder)
        pooled = {photo.path.name: photo for photo in photos if folder in photo.path.parents}
        assert {photo.path.name: (f"{folder.name}:{photo.group}", photo.fold) for photo in alone} == {
            name: (photo.group, photo.fold) for name, photo in pooled.items()
        }
        assert {photo.fold for photo in alone} == set(range(FOLDS))
        boxes = [sum((photo.class_ids == class_id).sum() for photo in alone) for class_id in (1, 2)]
        assert f"{folder.name}: {len(alone)} photos, boxes: {boxes[0]} normal, {boxes[1]} caries\n" in shown
    assert len(photos) == 14
    # The order of the sets does not matter.
    assert prepare(tmp_path / "again", *sets[::-1]) == 0
    for name in ("photos.json", "folds.csv", "sets.json", "1_first.fold_0.tfrecord", "2_second.fold_4.tfrecord"):
        assert (tmp_path / "again" / "records" / name).read_bytes() == (
            tmp_path / "run" / "records" / name
        ).read_bytes()


def test_one_set_is_prepared_as_it_is_read(sets, tmp_path, capsys) -> None:
    assert prepare(tmp_path / "run", sets[0]) == 0
    photos = read_annotated_photos(sets[0])
    save_photos(photos, tmp_path / "expected.json")
    records = tmp_path / "run" / "records"
    assert (records / "photos.json").read_bytes() == (tmp_path / "expected.json").read_bytes()
    assert (records / "folds.csv").read_text() == "image,group,fold\n" + "".join(
        f"{photo.path.name},{photo.group},{photo.fold}\n" for photo in photos
    )
    assert "first:" not in capsys.readouterr().err


def test_file_names_and_sets_may_be_used_once(sets, tmp_path, capsys) -> None:
    third = rendered(tmp_path / "third", range(20, 22), "A_")
    names = sorted(path.name for path in (third / "img_train").iterdir())
    assert prepare(tmp_path / "run", *sets, third) == 1
    shown = capsys.readouterr().err
    for name in names:
        assert f"{name}: is in {sets[0]} and {third}; give each photo a different file name" in shown
    assert prepare(tmp_path / "run", sets[0], sets[0] / ".." / "first") == 1
    assert f"{sets[0]} is given twice as --data" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_problems_of_all_sets_are_listed_with_their_set(sets, tmp_path, capsys) -> None:
    broken = [min((folder / "json_train").iterdir()) for folder in sets]
    for path in broken:
        path.write_text("{")
    assert prepare(tmp_path / "run", *sets) == 1
    shown = capsys.readouterr().err
    assert all(f"{path.parents[1].name}: {path.name}: is not JSON" in shown for path in broken)
    assert not (tmp_path / "run").exists()
    assert prepare(tmp_path / "run", *sets, options=("--skip-invalid",)) == 0
    assert "2 photos skipped" in capsys.readouterr().err
    skipped = (tmp_path / "run" / "records" / "skipped.txt").read_text().splitlines()
    assert [line.split(": ")[:2] for line in skipped] == [[path.parents[1].name, path.name] for path in broken]


def test_zip_files_and_folders_of_one_name_are_pooled(sets, tmp_path) -> None:
    parent = tmp_path / "other"
    archives = [Path(shutil.make_archive(str(parent / folder.name), "zip", folder)) for folder in sets]
    third = rendered(parent / "third", range(20, 22), "C_")
    fourth = rendered(tmp_path / "third", range(22, 24), "D_")
    for _ in range(2):
        assert prepare(tmp_path / "run", *archives, third, fourth) == 0
    records = tmp_path / "run" / "records"
    assert {path.name for path in records.iterdir() if path.is_dir()} == {"unpacked"}
    photos = RunFolder(tmp_path / "run").photos()
    assert [len([one for one in photos if records / "unpacked" / number in one.path.parents]) for number in "12"] == [
        6,
        7,
    ]
    assert {photo.group.split(":")[0] for photo in photos} == {"first", "second", str(third), str(fourth)}
    assert len(json.loads((records / "photos.json").read_text())) == 17
