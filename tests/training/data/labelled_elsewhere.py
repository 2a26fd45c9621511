"""Labels written by another program, or as it writes them; read back, they are the same boxes and classes."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from globox import Annotation as GloboxAnnotation
from globox import AnnotationSet, BoundingBox

from training.data.annotations import CLASS_IDS, AnnotatedPhoto, Source, read_annotated_photos


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


def write_label_studio(photos, folder: Path) -> None:
    """As Label Studio 1.23 exports uploaded photos; no program in the registry writes it."""
    names = {class_id: name for name, class_id in CLASS_IDS.items()}
    tasks = []
    for number, photo in enumerate(photos, 1):
        results = []
        for box, class_id in zip(photo.boxes, photo.class_ids, strict=True):
            ymin, xmin, ymax, xmax = (100 * float(value) for value in box)
            value = {"x": xmin, "y": ymin, "width": xmax - xmin, "height": ymax - ymin, "rotation": 0}
            results.append(
                {
                    "type": "rectanglelabels",
                    "from_name": "label",
                    "to_name": "image",
                    "original_width": photo.width,
                    "original_height": photo.height,
                    "image_rotation": 0,
                    "value": {**value, "rectanglelabels": [names[int(class_id)]]},
                }
            )
        file = f"/data/upload/1/0a1b2c3d-{photo.path.name}"
        annotation = {"id": number, "was_cancelled": False, "ground_truth": False, "result": results}
        tasks.append({"id": number, "data": {"image": file}, "annotations": [annotation]})
    (folder / "project-1.json").write_text(json.dumps(tasks))


def assert_read(photos, folder: Path, write: Callable[..., None], name: str, pixels: float) -> None:
    """Write labels; they are read back with the format found and with the format given."""
    write(photos, folder)
    assert_same(photos, read_annotated_photos(folder), pixels)
    assert_same(photos, read_annotated_photos(folder, Source(format=name)), pixels)
