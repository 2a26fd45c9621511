import numpy as np
import pytest

from training.second_look.crops import cut, squares


def test_squares_lie_around_their_boxes() -> None:
    boxes = np.array([[0.2, 0.1, 0.6, 0.2], [0.0, 0.0, 0.1, 0.5]], np.float32)
    # 40 x 20 pixels at row 20 and column 20, then 10 x 100 pixels in the corner, of a photo of 200 x 100.
    found = squares(boxes, 200, 100, 1.5)
    assert found == pytest.approx(np.array([[0, 10, 60], [-25, -70, 150]]), abs=1e-4)
    assert squares(np.zeros((0, 4), np.float32), 200, 100, 1.5).shape == (0, 3)


def test_a_square_of_the_size_asked_for_is_cut_as_it_is() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    crops = cut(photo, np.array([[10.0, 20.0, 32.0], [40.0, 5.0, 32.0]]), 32)
    assert (crops[0] == photo[20:52, 10:42]).all()
    assert (crops[1] == photo[5:37, 40:72]).all()


def test_the_photo_goes_on_beyond_its_edges() -> None:
    photo = np.zeros((40, 40, 3), np.uint8)
    photo[:, 0], photo[-1] = 200, 100
    crop = cut(photo, np.array([[-16.0, 24.0, 32.0]]), 32)[0]
    assert (crop[:15, :16] == 200).all()
    assert (crop[16:, :16] == 100).all()
    assert (crop[:15, 18:] == 0).all()
    assert cut(photo, np.zeros((0, 3)), 32).shape == (0, 32, 32, 3)
