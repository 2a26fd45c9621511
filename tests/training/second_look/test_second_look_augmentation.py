import numpy as np
import pytest

from training.second_look.augmentation import apply, as_tensors, draw
from training.second_look.recipe import SecondLookRecipe
from training.second_look.teeth import canvas_side, middle

STILL = {"crop_size": 32, "shift": 0.0, "zoom": 0.0, "rotation": 0.0, "colour": 0.0, "blur": 0.0}
SIDE = canvas_side(32)


@pytest.fixture(scope="module")
def canvases() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (16, SIDE, SIDE, 3), np.uint8)


def changed(canvases: np.ndarray, **settings) -> np.ndarray:
    recipe = SecondLookRecipe("test", **{**STILL, **settings})
    changes = draw(np.random.default_rng(1), len(canvases), recipe, SIDE)
    return np.asarray(apply(canvases, *as_tensors(changes), crop_size=32))


def test_crops_are_only_mirrored_where_nothing_else_is_allowed(canvases) -> None:
    crops = middle(canvases, 32).astype(np.float32)
    plain = np.abs(changed(canvases) - crops).max(axis=(1, 2, 3)) < 0.1
    mirrored = np.abs(changed(canvases) - crops[:, :, ::-1]).max(axis=(1, 2, 3)) < 0.1
    assert (plain ^ mirrored).all()
    assert 0 < mirrored.sum() < 16


def test_a_shift_moves_the_crop_by_a_share_of_the_box() -> None:
    # A bright spot in the middle: at a shift of at most 0.15 boxes of 32 / 1.5 pixels it stays within 3.2 pixels.
    canvases = np.zeros((64, SIDE, SIDE, 3), np.uint8)
    canvases[:, SIDE // 2 - 1 : SIDE // 2 + 1, SIDE // 2 - 1 : SIDE // 2 + 1] = 255
    found = changed(canvases, shift=0.15)[..., 0]
    weights = found / found.sum(axis=(1, 2), keepdims=True)
    rows = (weights.sum(axis=2) * np.arange(32)).sum(axis=1) - 15.5
    assert 2.5 < np.abs(rows).max() <= 3.3


def test_light_changes_within_bounds(canvases) -> None:
    grey = np.full_like(canvases, 100)
    found = changed(grey, colour=0.2)
    assert 75 < found.min() < 90
    assert 110 < found.max() < 135
    assert np.abs(changed(grey, blur=1.0, rotation=20.0, zoom=0.2) - 100).max() < 0.01
    assert changed(canvases, blur=1.0).std() < changed(canvases).std()


def test_the_same_random_numbers_give_the_same_crops(canvases) -> None:
    settings = {"shift": 0.1, "zoom": 0.2, "rotation": 10.0, "colour": 0.2, "blur": 0.5}
    assert (changed(canvases, **settings) == changed(canvases, **settings)).all()
