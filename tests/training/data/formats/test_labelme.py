import json

import numpy as np
import pytest

from tests.training.data.labelled_elsewhere import assert_read, write_labelme
from training.data.annotations import AnnotationError, read_annotated_photos


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


def test_labels_of_another_program_are_read(photos, data) -> None:
    assert_read(photos, data, write_labelme, "labelme", 0.01)
