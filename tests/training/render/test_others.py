import numpy as np

from tests.training.render.small_mouths import HEIGHT, WIDTH
from training.render import render_other


def test_other_pictures_are_repeatable_and_diverse() -> None:
    made = [render_other(seed, width=WIDTH, height=HEIGHT) for seed in range(10)]
    for picture in made:
        assert picture.shape == (HEIGHT, WIDTH, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 5, "something is to be seen"
    assert (made[3] == render_other(3, width=WIDTH, height=HEIGHT)).all()
    assert len({picture.tobytes() for picture in made}) == 10
