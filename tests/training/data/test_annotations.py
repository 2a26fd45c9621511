import json

import numpy as np
import pytest
from PIL import Image

from training.data.annotations import (
    CLASS_IDS,
    AnnotationError,
    Source,
    read_annotated_photos,
)
from training.data.saved_photos import write_splits


def via(*regions: tuple[float, float, float, float, str]) -> dict:
    return {
        "annotation": {
            "filename": "a.jpg",
            "size": 1,
            "regions": [
                {
                    "shape_attributes": {"name": "rect", "x": x, "y": y, "width": w, "height": h},
                    "region_attributes": {"label": label},
                }
                for x, y, w, h, label in regions
            ],
        }
    }


class Folder:
    """A data folder under construction."""

    def __init__(self, path):
        self.path = path
        for name in ("img_train", "json_train"):
            (path / name).mkdir()

    def add(self, stem, labels, size=(200, 100)):
        Image.new("RGB", size, "pink").save(self.path / "img_train" / f"{stem}.jpg")
        text = labels if isinstance(labels, str) else json.dumps(labels)
        (self.path / "json_train" / f"{stem}.json").write_text(text)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_boxes_become_fractions_and_labels_ids(folder) -> None:
    folder.add("a", via((20, 10, 100, 50, "normal"), (0, 0, 200, 100, "caries")))
    (photo,) = read_annotated_photos(folder.path)
    assert (photo.width, photo.height) == (200, 100)
    assert photo.boxes.tolist() == [pytest.approx([0.1, 0.1, 0.6, 0.6]), [0, 0, 1, 1]]
    assert photo.class_ids.tolist() == [CLASS_IDS["normal"], CLASS_IDS["caries"]]


def test_a_photo_without_teeth_is_kept(folder) -> None:
    folder.add("a", via())
    (photo,) = read_annotated_photos(folder.path)
    assert photo.boxes.shape == (0, 4)


def test_a_box_may_slightly_cross_the_edge_and_is_clipped(folder) -> None:
    folder.add("a", via((-1, 0, 202, 100, "normal")))
    (photo,) = read_annotated_photos(folder.path)
    assert photo.boxes.tolist() == [[0, 0, 1, 1]]


def test_all_problems_are_listed(folder) -> None:
    folder.add("empty_box", via((10, 10, 0, 20, "normal")))
    folder.add("outside", via((150, 10, 100, 20, "normal")))
    folder.add("label", via((10, 10, 20, 20, "gold")))
    folder.add("garbled", "{")
    folder.add("no_numbers", json.dumps({"annotation": {"regions": [{"shape_attributes": {"x": "left"}}]}}))
    folder.add("damaged", via())
    (folder.path / "img_train" / "damaged.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    Image.new("RGB", (20, 20)).save(folder.path / "img_train" / "lonely.jpg")
    (folder.path / "json_train" / "orphan.json").write_text("{}")
    with pytest.raises(AnnotationError) as caught:
        read_annotated_photos(folder.path)
    lines = str(caught.value).splitlines()
    for words in (
        "empty_box.json: region 1: the box is empty",
        "outside.json: region 1: the box 150,10 100x20 leaves the photo of 200x100",
        "label.json: region 1: label 'gold', allowed are normal, caries",
        "garbled.json: is not JSON",
        "no_numbers.json: region 1: needs x, y, width, height and a label",
        "damaged.jpg: the JPEG photo is damaged",
        "lonely.jpg: no labels",
        "orphan.json: not VGG Image Annotator, a JSON file for each photo",
    ):
        assert any(line.startswith(words) for line in lines), (words, lines)
    assert len(lines) == 8


def test_no_photo_at_all(tmp_path) -> None:
    with pytest.raises(AnnotationError, match="no photo"):
        read_annotated_photos(tmp_path)


def test_folds_come_from_the_file_and_must_keep_groups_together(folder) -> None:
    folder.add("a", via())
    folder.add("b", via())
    splits = folder.path / "folds.csv"
    splits.write_text("image,group,fold\na.jpg,g1,3\nb.jpg,g2,0\n")
    assert [(photo.group, photo.fold) for photo in read_annotated_photos(folder.path)] == [("g1", 3), ("g2", 0)]
    splits.write_text("image,group,fold\na.jpg,g1,3\nb.jpg,g1,0\n")
    with pytest.raises(AnnotationError, match="group g1 is in folds"):
        read_annotated_photos(folder.path)
    splits.write_text("image,group,fold\na.jpg,g1,7\n")
    with pytest.raises(AnnotationError, match=r"(?s)b\.jpg: not in folds\.csv.*fold of a\.jpg is '7'"):
        read_annotated_photos(folder.path)


def test_generated_folds_can_be_kept(folder, tmp_path) -> None:
    for number in range(10):
        folder.add(f"p{number}", via((number, 10, 50, 50, "caries" if number % 2 else "normal")))
        noise = np.random.default_rng(number).integers(0, 255, (100, 200, 3), np.uint8)
        Image.fromarray(noise).save(folder.path / "img_train" / f"p{number}.jpg")
    photos = read_annotated_photos(folder.path)
    assert sorted(photo.fold for photo in photos) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    again = [photo.fold for photo in read_annotated_photos(folder.path, Source(split_seed=1))]
    assert again != [photo.fold for photo in photos]
    write_splits(photos, folder.path / "folds.csv")
    kept = read_annotated_photos(folder.path, Source(split_seed=1))
    assert [(photo.group, photo.fold) for photo in kept] == [(photo.group, photo.fold) for photo in photos]


def test_the_real_photos_are_as_described(real_photos) -> None:
    photos = read_annotated_photos(real_photos)
    class_ids = np.concatenate([photo.class_ids for photo in photos])
    assert len(photos) == 209
    assert (class_ids == CLASS_IDS["caries"]).sum() == 1057
    assert (class_ids == CLASS_IDS["normal"]).sum() == 1513
