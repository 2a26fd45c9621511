import numpy as np
import pytest

from tests.training.render.small_mouths import HEIGHT, WIDTH, small
from training.render import VIEWS


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
