import json

import pytest

from training.data.formats.labels import FormatError
from training.data.formats.registry import LabelFile, find_label_files, read_label_file

COCO: dict[str, list] = {"images": [], "annotations": [], "categories": []}


@pytest.mark.parametrize(
    ("name", "text", "format_name"),
    [
        ("a.json", json.dumps({"annotation": {}}), "via"),
        ("a.json", json.dumps({"shapes": []}), "labelme"),
        ("a.json", json.dumps(COCO), "coco"),
        ("a.json", json.dumps({"a.jpg1": {"filename": "a.jpg", "regions": []}}), "via-project"),
        ("a.json", json.dumps({"_via_img_metadata": {}}), "via-project"),
        ("a.JSON", "\ufeff" + json.dumps(COCO), "coco"),
        ("a.json", json.dumps([{"id": 1, "data": {}, "annotations": []}]), "label-studio"),
        ("a.csv", "filename,region_shape_attributes,region_attributes\n", "via-csv"),
        ("a.xml", "<annotation/>", "voc"),
        ("a.txt", "0 0.5 0.5 0.1 0.1\n", "yolo"),
        ("a.json", "[]", None),
        ("a.json", json.dumps({"teeth": 3}), None),
        ("a.csv", "image,view\n", None),
        ("a.txt", "Taken in 2021.\n", None),
    ],
)
def test_a_format_is_recognized_by_the_content(tmp_path, name, text, format_name) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    (found,) = find_label_files(tmp_path)
    assert (found.path.name, found.format, found.problem) == (name, format_name, "")


def test_class_lists_folds_photos_and_hidden_files_are_no_labels(tmp_path) -> None:
    for name in ("folds.csv", "classes.txt", "a.jpg", ".a.json", ".git/a.json", "__MACOSX/a.json", "labels/a.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    assert [file.path for file in find_label_files(tmp_path)] == [tmp_path / "labels" / "a.json"]


def test_a_file_that_cannot_be_read_has_a_problem(tmp_path) -> None:
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00")
    broken, binary = find_label_files(tmp_path)
    assert broken.problem.startswith("is not JSON (")
    assert binary.problem == "is not UTF-8 text (UnicodeDecodeError)"
    assert broken.format is binary.format is None


def test_content_that_does_not_follow_its_format_is_refused_with_the_title(tmp_path) -> None:
    with pytest.raises(FormatError, match=r"^not LabelMe JSON "):
        read_label_file(LabelFile(tmp_path / "a.json", "labelme", []), [])
