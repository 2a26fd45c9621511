"""Measures of a photo: what they reject, and that they depend on neither resolution nor scale."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from app.photo.quality import Reason, assess_quality, screened_side


def test_quality_of_extremes() -> None:
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (400, 600, 3), np.uint8)
    assert assess_quality(noise).reasons == ()
    assert Reason.TOO_DARK in assess_quality(np.zeros((400, 600, 3), np.uint8)).reasons
    assert Reason.TOO_BRIGHT in assess_quality(np.full((400, 600, 3), 255, np.uint8)).reasons
    assert Reason.TOO_SMALL in assess_quality(noise[:30]).reasons
    assert Reason.TOO_SMALL in assess_quality(noise[:1, :1]).reasons


def test_tissue_is_redder_than_green_and_blue() -> None:
    picture = np.full((100, 100, 3), 150, np.uint8)
    picture[:30] = (190, 110, 100)
    assert assess_quality(picture).tissue == pytest.approx(0.3)
    assert assess_quality(picture[..., ::-1]).tissue == 0


def test_sharpness_falls_with_blur_and_not_with_resolution() -> None:
    random = np.random.default_rng(5)
    squares = np.kron(random.integers(20, 240, (8, 10, 3), np.uint8), np.ones((30, 30, 1), np.uint8))
    picture = Image.fromarray(squares)
    sharp = assess_quality(squares)
    large = assess_quality(np.asarray(picture.resize((1200, 960), Image.Resampling.NEAREST)))
    blurred = assess_quality(np.asarray(picture.filter(ImageFilter.GaussianBlur(6))))
    assert sharp.reasons == ()
    assert large.sharpness == pytest.approx(sharp.sharpness, rel=0.05)
    assert blurred.reasons == (Reason.BLURRED,)


@pytest.mark.parametrize(("height", "scale"), [(960, 2), (1201, 2), (1930, 4), (2600, 4)])
def test_a_scaled_photo_is_assessed_like_the_full_one(height: int, scale: int) -> None:
    random = np.random.default_rng(5)
    squares = Image.fromarray(random.integers(20, 240, (24, 25, 3), np.uint8)).resize((height + 40, height), 0)
    whole = squares.filter(ImageFilter.GaussianBlur(height / 300))
    expected = assess_quality(np.asarray(whole))
    found = assess_quality(np.asarray(whole.reduce(scale)), shorter_side=height)
    assert found.shorter_side == height
    assert found.sharpness == pytest.approx(expected.sharpness, rel=0.15)
    assert found.luminance == pytest.approx(expected.luminance, abs=0.5)
    assert found.tissue == pytest.approx(expected.tissue, abs=0.01)


def test_the_screened_side_suffices_for_model_and_quality() -> None:
    assert screened_side(320, 320) == 640
    assert screened_side(320, 512) == 1024
    assert screened_side(32, 32) == 480
