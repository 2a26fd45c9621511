import shutil
import zipfile
from pathlib import Path

import pytest

from tests.training.data.labelled_elsewhere import assert_same, write_coco, write_voc
from training.data.annotations import AnnotationError, Source, read_annotated_photos


def test_a_zip_file_with_a_folder_around_everything_is_read(photos, data, tmp_path) -> None:
    write_coco(photos, data)
    archive = shutil.make_archive(str(tmp_path / "teeth"), "zip", tmp_path, "data")
    read = read_annotated_photos(Path(archive), Source(unpack_to=tmp_path / "unpacked"))
    assert_same(photos, read, 0.01)
    with pytest.raises(AnnotationError, match="prepare it first"):
        read_annotated_photos(Path(archive))


def test_labels_are_renamed(photos, data) -> None:
    write_coco(photos, data)
    path = data / "annotations.json"
    path.write_text(path.read_text().replace('"caries"', '"cavity"').replace('"normal"', '"tooth"'))
    with pytest.raises(AnnotationError, match="label 'cavity', allowed are normal, caries; rename it with --rename"):
        read_annotated_photos(data)
    rename = {"cavity": "caries", "tooth": "normal"}
    assert_same(photos, read_annotated_photos(data, Source(rename=rename)), 0.01)
    with pytest.raises(AnnotationError, match="--rename tooth=sound: allowed are normal, caries"):
        read_annotated_photos(data, Source(rename={"tooth": "sound"}))


def test_two_formats_require_a_choice(photos, data) -> None:
    write_coco(photos, data)
    write_voc(photos, data)
    with pytest.raises(AnnotationError, match=r"several formats \(1 of coco, 10 of voc\): choose one with --format"):
        read_annotated_photos(data)


@pytest.mark.parametrize("name", ["../escaped.jpg", "/escaped.jpg", "a/../../escaped.jpg"])
def test_a_zip_member_outside_the_folder_is_refused(tmp_path, name) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as members:
        members.writestr(name, b"x")
    with pytest.raises(AnnotationError, match="leads out of the folder"):
        read_annotated_photos(tmp_path / "bad.zip", Source(unpack_to=tmp_path / "in" / "unpacked"))
    assert not list(tmp_path.rglob("escaped.jpg"))
