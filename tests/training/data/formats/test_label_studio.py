from typing import Any

import pytest

from tests.training.data.labelled_elsewhere import assert_read, write_label_studio
from training.data.formats import label_studio
from training.data.formats.labels import FormatError

RECTANGLE: dict[str, Any] = {
    "type": "rectanglelabels",
    "original_width": 200,
    "original_height": 100,
    "image_rotation": 0,
    "value": {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["caries"]},
}


def task(*annotations: dict[str, Any], image: str = "/data/upload/3/0a1b2c3d-a.jpg") -> dict[str, Any]:
    return {"id": 7, "data": {"image": image, "note": "a"}, "annotations": list(annotations)}


def done(*results: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"result": list(results), "was_cancelled": False, "ground_truth": False, **more}


def test_labels_of_an_export_are_read(photos, data) -> None:
    assert_read(photos, data, write_label_studio, "label-studio", 0.01)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("/data/upload/3/0a1b2c3d-a.jpg", "a.jpg"),
        ("/data/upload/3/0a1b2c3d-a%20b.JPG", "a b.JPG"),
        ("/data/local-files/?d=set/0a1b2c3d-a.jpg", "0a1b2c3d-a.jpg"),
        ("https://photos.example/set/a.jpg?x=1", "a.jpg"),
        ("s3://bucket/a.jpg", "a.jpg"),
    ],
)
def test_a_photo_has_the_name_that_it_had_before_the_upload(image: str, name: str) -> None:
    assert list(label_studio.read("x", [task(done(), image=image)])) == [name]


def test_the_ground_truth_is_taken_and_skipped_tasks_are_refused() -> None:
    choice = {"type": "choices", "value": {"choices": ["front"]}}
    (labels,) = label_studio.read("x", [task(done(), done(choice, RECTANGLE, ground_truth=True))]).values()
    assert (labels.size, labels.problems) == ((200, 100), [])
    assert [(box.where, box.x, box.width, box.label) for box in labels.boxes] == [("result 2", 0.1, 0.3, "caries")]
    for annotations, count in (((), 0), ((done(was_cancelled=True),), 0), ((done(), done()), 2)):
        (labels,) = label_studio.read("x", [task(*annotations)]).values()
        assert labels.problems == [f"has {count} annotations, allowed is one, or one marked as ground truth"], (
            "its teeth are not known"
        )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"type": "polygonlabels"}, "is of the type 'polygonlabels', allowed are rectangle labels"),
        ({"image_rotation": 90}, "is rotated, allowed are upright boxes on upright photos"),
        ({"value": {**RECTANGLE["value"], "rotation": 5}}, "is rotated, allowed are upright boxes on upright photos"),
        ({"value": {**RECTANGLE["value"], "rectanglelabels": []}}, "needs x, y, width, height and one label"),
        ({"value": {"x": 1}}, "needs x, y, width, height and one label"),
    ],
)
def test_results_that_are_no_upright_boxes(change: dict[str, Any], problem: str) -> None:
    (labels,) = label_studio.read("x", [task(done(RECTANGLE | change))]).values()
    assert labels.problems == [f"result 1: {problem}"]


def test_tasks_without_one_photo() -> None:
    with pytest.raises(FormatError, match=r"^task 7: its data names no photo, or several$"):
        label_studio.read("x", [task(done(), image="text")])
    (labels,) = label_studio.read("x", [task(done()), task(done())]).values()
    assert labels.problems == ["is listed twice"]
