"""The resize of the model input."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from app.photo import resizing
from app.photo.resizing import resize
from tests.app.photo.pictures import assert_four_colours, four_colours


def test_resize_squeezes_and_averages() -> None:
    assert_four_colours(resize(four_colours(), 30, 40), tolerance=0)
    assert resize(four_colours(), 320, 100).shape == (320, 100, 3)
    stripes = np.zeros((1200, 1600, 3), np.uint8)
    stripes[:, ::2] = 255
    small = resize(stripes, 320, 320)
    assert np.abs(small.astype(int) - 127).max() <= 16, "not antialiased: unfiltered stripes stay 0 and 255"


@pytest.mark.parametrize("shape", [(480, 640), (1200, 1600), (3000, 2000), (200, 150), (50, 700)])
def test_resize_is_close_to_the_exact_filter(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    exact = np.asarray(Image.fromarray(noise).resize((320, 320), Image.Resampling.BILINEAR))
    assert np.abs(resize(noise, 320, 320).astype(int) - exact).max() <= (8 if max(shape) >= 1920 else 1)


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (100, 70), (101, 71), (700, 900)])
def test_resize_does_not_depend_on_strips(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    small = resize(noise, 16, 16)
    monkeypatch.setattr(resizing, "STRIP", 1500)
    assert (resize(noise, 16, 16) == small).all()
