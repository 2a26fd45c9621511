import numpy as np
import pytest

from tests.training.render.small_mouths import HEIGHT, WIDTH, small
from training.render import VIEWS


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
