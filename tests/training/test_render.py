"""Rendered mouths: repeatable, boxed exactly, labelled as asked, written as the training reads them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.cli import main
from training.render import VIEWS, RenderedMouth, RenderError, render_mouth, render_other, write_via

WIDTH, HEIGHT = 320, 240


def small(seed: int, caries: int | None = None, view: str | None = None) -> RenderedMouth:
    return render_mouth(seed, width=WIDTH, height=HEIGHT, caries=caries, view=view)


def test_one_seed_is_one_mouth() -> None:
    first, second, other = small(7), small(7), small(8)
    assert first.image.tobytes() == second.image.tobytes()
    assert first.boxes.tobytes() == second.boxes.tobytes()
    assert first.labels == second.labels
    assert first.image.tobytes() != other.image.tobytes()


def test_other_pictures_are_repeatable_and_diverse() -> None:
    made = [render_other(seed, width=WIDTH, height=HEIGHT) for seed in range(10)]
    for picture in made:
        assert picture.shape == (HEIGHT, WIDTH, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 5, "something is to be seen"
    assert (made[3] == render_other(3, width=WIDTH, height=HEIGHT)).all()
    assert len({picture.tobytes() for picture in made}) == 10


@pytest.mark.parametrize("view", VIEWS)
def test_boxes_are_in_the_photo_and_not_empty(view: str) -> None:
    for seed in range(2):
        mouth = small(seed, view=view)
        assert mouth.image.shape == (HEIGHT, WIDTH, 3)
        assert mouth.image.dtype == np.uint8
        assert mouth.boxes.dtype == np.float32
        assert mouth.boxes.shape == (len(mouth.labels), 4)
        assert len(mouth.labels) >= 3
        assert set(mouth.labels) <= {"normal", "caries"}
        ymin, xmin, ymax, xmax = mouth.boxes.T
        assert (ymin >= 0).all()
        assert (xmin >= 0).all()
        assert (ymax <= HEIGHT).all()
        assert (xmax <= WIDTH).all()
        assert (ymax > ymin).all()
        assert (xmax > xmin).all()


@pytest.mark.parametrize("caries", [0, 1, 3])
def test_the_requested_number_of_teeth_is_carious(caries: int) -> None:
    assert all(small(seed, caries).labels.count("caries") == caries for seed in range(2))


def test_drawn_mouths_are_healthy_and_carious() -> None:
    counts = [small(seed).labels.count("caries") for seed in range(10, 16)]
    assert min(counts) == 0
    assert max(counts) > 1


@pytest.mark.parametrize("view", VIEWS)
def test_lesions_are_darker_and_nothing_else_changes(view: str) -> None:
    healthy, carious = small(5, 0, view), small(5, 3, view)
    assert np.array_equal(healthy.boxes, carious.boxes)
    darker = healthy.image.astype(int).sum(axis=2) - carious.image.astype(int).sum(axis=2)
    untouched = np.ones((HEIGHT, WIDTH), bool)
    for (ymin, xmin, ymax, xmax), label in zip(carious.boxes.astype(int), carious.labels, strict=True):
        if label == "caries":
            inside = darker[ymin:ymax, xmin:xmax]
            assert inside.max() > 120
            assert (inside > 60).mean() > 0.02
            untouched[max(0, ymin - 5) : ymax + 5, max(0, xmin - 5) : xmax + 5] = False
    assert not darker[untouched].any()


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(RenderError, match="seed is -1"):
        small(-1)
    with pytest.raises(RenderError, match="from 0 to"):
        small(0, caries=99)
    with pytest.raises(RenderError, match="must be one of retracted"):
        small(0, view="x-ray")
    with pytest.raises(RenderError, match="8 x 240 pixels"):
        render_mouth(0, width=8, height=240)


def test_written_files_match_the_rendered_mouths(tmp_path: Path) -> None:
    paths = write_via(tmp_path, range(20, 22), width=WIDTH, height=HEIGHT)
    assert [path.name for path in paths] == ["Folder_0001.jpg", "Folder_0002.jpg"]
    for seed, path in zip(range(20, 22), paths, strict=True):
        mouth = small(seed)
        annotation = json.loads((tmp_path / "json_train" / f"{path.stem}.json").read_text())["annotation"]
        assert annotation["filename"] == path.name
        assert annotation["size"] == path.stat().st_size
        with Image.open(path) as photo:
            assert photo.size == (WIDTH, HEIGHT)
            assert abs(np.asarray(photo).astype(int) - mouth.image).mean() < 6
        boxes = []
        for region in annotation["regions"]:
            shape = region["shape_attributes"]
            assert shape["name"] == "rect"
            boxes.append([shape["y"], shape["x"], shape["y"] + shape["height"], shape["x"] + shape["width"]])
        assert np.array_equal(np.array(boxes, np.float32), mouth.boxes)
        assert tuple(region["region_attributes"]["label"] for region in annotation["regions"]) == mouth.labels


def test_command_line_writes_photos_labels_and_folds(tmp_path: Path) -> None:
    sizes = ["--width", "96", "--height", "72"]
    assert main(["render", "--out", str(tmp_path), "--count", "6", "--seed", "3", *sizes]) == 0
    assert len(list((tmp_path / "img_train").iterdir())) == len(list((tmp_path / "json_train").iterdir())) == 6
    with (tmp_path / "folds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["fold"] for row in rows] == ["0", "1", "2", "3", "4", "0"]
    assert len({row["group"] for row in rows}) == 6
