"""Labels written by another program, or as it writes them, and read back: the same boxes and classes."""

import csv
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from globox import Annotation as GloboxAnnotation
from globox import AnnotationSet, BoundingBox

from training.data.annotations import CLASS_IDS, AnnotatedPhoto, AnnotationError, Source, read_annotated_photos


@pytest.fixture(scope="module")
def photos(small_data) -> list[AnnotatedPhoto]:
    return read_annotated_photos(small_data)


@pytest.fixture
def data(photos, tmp_path) -> Path:
    """A folder with the photos in `images/` and no labels."""
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    for photo in photos:
        shutil.copy(photo.path, folder / "images")
    return folder


def by_globox(photos: list[AnnotatedPhoto]) -> AnnotationSet:
    names = {class_id: name for name, class_id in CLASS_IDS.items()}
    result = AnnotationSet()
    for photo in photos:
        boxes = [
            BoundingBox(
                label=names[int(class_id)],
                xmin=float(xmin) * photo.width,
                ymin=float(ymin) * photo.height,
                xmax=float(xmax) * photo.width,
                ymax=float(ymax) * photo.height,
            )
            for (ymin, xmin, ymax, xmax), class_id in zip(photo.boxes, photo.class_ids, strict=True)
        ]
        result.add(GloboxAnnotation(photo.path.name, (photo.width, photo.height), boxes))
    return result


def assert_same(photos: list[AnnotatedPhoto], read: list[AnnotatedPhoto], pixels: float) -> None:
    """The same photos, boxes within some pixels, and classes, whichever order a format keeps the boxes in."""
    assert [photo.path.name for photo in read] == [photo.path.name for photo in photos]
    for expected, found in zip(photos, read, strict=True):
        scale = np.array([expected.height, expected.width] * 2)
        for photo_boxes in (expected, found):
            assert len(photo_boxes.boxes) == len(expected.boxes)
        one, two = (np.lexsort((photo.boxes * scale).round().T) for photo in (expected, found))
        np.testing.assert_allclose(expected.boxes[one] * scale, found.boxes[two] * scale, atol=pixels)
        np.testing.assert_array_equal(expected.class_ids[one], found.class_ids[two])


def write_coco(photos, folder: Path) -> None:
    by_globox(photos).save_coco(folder / "annotations.json", auto_ids=True)


def write_voc(photos, folder: Path) -> None:
    (folder / "Annotations").mkdir()
    by_globox(photos).save_pascal_voc(folder / "Annotations")


def write_labelme(photos, folder: Path) -> None:
    by_globox(photos).save_labelme(folder / "images")


def write_yolo(photos, folder: Path) -> None:
    (folder / "labels").mkdir()
    by_globox(photos).save_yolo_v5(folder / "labels", label_to_id={"caries": 0, "normal": 1})
    (folder / "classes.txt").write_text("caries\nnormal\n")


def write_yolo_yaml(photos, folder: Path) -> None:
    write_yolo(photos, folder)
    (folder / "classes.txt").unlink()
    (folder / "data.yaml").write_text("nc: 2\nnames:\n  0: caries\n  1: normal\n")


def write_via_project(photos, folder: Path) -> None:
    by_globox(photos).save_via_json(folder / "via.json", image_folder=folder / "images")
    content = json.loads((folder / "via.json").read_text())
    (folder / "via.json").write_text(json.dumps({"_via_settings": {}, "_via_img_metadata": content}))


def write_via_csv(photos, folder: Path) -> None:
    """As VIA 2.0.12 exports it; no program in the registry writes it."""
    names = {class_id: name for name, class_id in CLASS_IDS.items()}
    with (folder / "via.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "filename",
                "file_size",
                "file_attributes",
                "region_count",
                "region_id",
                "region_shape_attributes",
                "region_attributes",
            ]
        )
        for photo in photos:
            for number, (box, class_id) in enumerate(zip(photo.boxes, photo.class_ids, strict=True)):
                ymin, xmin, ymax, xmax = box * np.array([photo.height, photo.width] * 2)
                shape = {"name": "rect", "x": xmin, "y": ymin, "width": xmax - xmin, "height": ymax - ymin}
                shape = {key: value if key == "name" else float(value) for key, value in shape.items()}
                attributes = json.dumps({"name": names[int(class_id)]})
                size = photo.path.stat().st_size
                writer.writerow([photo.path.name, size, "{}", len(photo.boxes), number, json.dumps(shape), attributes])


@pytest.mark.parametrize(
    ("name", "write", "pixels"),
    [
        ("coco", write_coco, 0.01),
        ("voc", write_voc, 1.0),
        ("labelme", write_labelme, 0.01),
        ("yolo", write_yolo, 0.01),
        ("yolo", write_yolo_yaml, 0.01),
        ("via-project", write_via_project, 1.0),
        ("via-csv", write_via_csv, 0.01),
    ],
)
def test_labels_of_another_program_are_read(photos, data, name, write, pixels) -> None:
    write(photos, data)
    assert_same(photos, read_annotated_photos(data), pixels)
    assert_same(photos, read_annotated_photos(data, Source(format=name)), pixels)


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


def test_polygons_become_bounding_boxes_and_circles_are_refused(photos, data) -> None:
    write_labelme(photos, data)
    path = next((data / "images").glob("*.json"))
    content = json.loads(path.read_text())
    points = [[10, 20], [50, 10], [40, 60]]
    content["shapes"] = [{"label": "caries", "shape_type": "polygon", "points": points}]
    path.write_text(json.dumps(content))
    (photo,) = [photo for photo in read_annotated_photos(data) if photo.path.stem == path.stem]
    np.testing.assert_allclose(photo.boxes[0] * np.array([photo.height, photo.width] * 2), [10, 10, 60, 50], atol=1e-3)
    content["shapes"][0]["shape_type"] = "circle"
    path.write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match="shape 1: the shape is 'circle', allowed are rectangle and polygon"):
        read_annotated_photos(data)


@pytest.mark.parametrize("line", ["nan 0.5 0.5 0.1 0.1", "0 0.5 inf 0.1 0.1"])
def test_a_non_number_in_a_yolo_file_is_reported(photos, data, line) -> None:
    write_yolo(photos, data)
    path = min((data / "labels").glob("*.txt"))
    path.write_text(f"{line}\n")
    with pytest.raises(AnnotationError, match=f"{path.name}: line 1: needs a class and four numbers"):
        read_annotated_photos(data)


def test_an_entity_bomb_is_an_error(photos, data) -> None:
    write_voc(photos, data)
    path = next((data / "Annotations").glob("*.xml"))
    entities = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(12))
    path.write_text(
        f'<!DOCTYPE x [<!ENTITY a0 "ha">{entities}]><annotation><object><name>&a12;</name></object></annotation>'
    )
    with pytest.raises(AnnotationError, match=f"{path.name}: not XML"):
        read_annotated_photos(data)


@pytest.mark.parametrize("name", ["../escaped.jpg", "/escaped.jpg", "a/../../escaped.jpg"])
def test_a_zip_member_outside_the_folder_is_refused(tmp_path, name) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as members:
        members.writestr(name, b"x")
    with pytest.raises(AnnotationError, match="leads out of the folder"):
        read_annotated_photos(tmp_path / "bad.zip", Source(unpack_to=tmp_path / "in" / "unpacked"))
    assert not list(tmp_path.rglob("escaped.jpg"))
