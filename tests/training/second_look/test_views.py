import numpy as np
import pytest

from app.detections import Detections
from training.second_look.views import VIEWS, View, detect_view, view_logits


class Spots:
    """A detector that finds the one bright rectangle of a picture, and says that it is carious."""

    name, device = "spots", "cpu"

    def detect(self, pixels: np.ndarray) -> Detections:
        rows, columns = np.nonzero(pixels[..., 0] > 128)
        if not len(rows):
            return Detections.empty()
        height, width, _ = pixels.shape
        box = [rows.min() / height, columns.min() / width, (rows.max() + 1) / height, (columns.max() + 1) / width]
        return Detections(np.array([box], np.float32), [0.9], [2])


@pytest.fixture
def photo() -> np.ndarray:
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[20:40, 60:80] = 255
    return pixels


BOX = np.array([[0.2, 0.3, 0.4, 0.4]], np.float32)


@pytest.mark.parametrize("name", VIEWS)
def test_what_a_view_shows_lies_where_it_is_in_the_photo(name, photo) -> None:
    found = [detect_view(Spots(), photo, view) for view in VIEWS[name]]
    seen = [item for item in found if len(item)]
    assert seen
    for item in seen:
        assert item.boxes == pytest.approx(BOX, abs=1e-6)
    assert len(detect_view(Spots(), np.zeros_like(photo), VIEWS[name][0])) == 0


def test_a_tooth_that_a_view_cuts_is_left_out(photo) -> None:
    assert len(detect_view(Spots(), photo, View(0.0, 0.0, 1.0, 0.35))) == 0
    assert len(detect_view(Spots(), photo, View(0.3, 0.0, 1.0, 1.0))) == 0
    assert len(detect_view(Spots(), photo, View(0.0, 0.0, 0.5, 0.5, mirrored=True))) == 1


def test_views_agree_by_the_mean_of_their_logits() -> None:
    boxes = np.array([[0.1, 0.1, 0.4, 0.3], [0.1, 0.5, 0.4, 0.7]], np.float32)
    scores = np.array([[0.5, 0.5], [0.7, 0.3]])
    views = [
        Detections(boxes[[0, 0]], [0.8, 0.2], [2, 1]),
        Detections(boxes[[0, 0]], [0.6, 0.4], [2, 1]),
        Detections(boxes[[1]], [0.04], [2]),
        Detections.empty(),
    ]
    logits = view_logits(boxes, scores, views)
    assert logits[0, 1] == pytest.approx((np.log(4) + np.log(1.5)) / 2)
    assert logits[0, 0] == pytest.approx(-logits[0, 1])
    # No view says enough of the second tooth, so that the whole photo's scores stand.
    assert logits[1] == pytest.approx(np.log([0.7 / 0.3, 0.3 / 0.7]))
    assert view_logits(boxes[:0], scores[:0], views).shape == (0, 2)
