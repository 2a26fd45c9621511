import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from training.data.groups import assign_folds, group_look_alikes, leaks_of_random_split, perceptual_hashes
from training.render import render_mouth


def hashes(*photos: Image.Image) -> list[np.ndarray]:
    return [perceptual_hashes(np.asarray(photo.convert("RGB"))) for photo in photos]


@pytest.fixture(scope="module")
def mouths() -> list[Image.Image]:
    return [Image.fromarray(render_mouth(seed, width=320, height=240).image) for seed in range(4)]


def saved_again(photo: Image.Image) -> Image.Image:
    data = io.BytesIO()
    photo.save(data, "JPEG", quality=30)
    return Image.open(data)


@pytest.mark.parametrize(
    "alter",
    [
        saved_again,
        lambda photo: photo.resize((150, 112)),
        lambda photo: photo.crop((6, 5, 314, 236)),
        lambda photo: ImageEnhance.Brightness(photo).enhance(0.7),
        lambda photo: photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    ],
)
def test_an_altered_copy_is_found_and_other_mouths_are_not(mouths, alter) -> None:
    assert group_look_alikes(hashes(*mouths, alter(mouths[1]))) == [0, 1, 2, 3, 1]


def test_groups_are_transitive() -> None:
    """Three hashes, each within reach of the next: one group, though the ends are further apart."""
    steps = [np.zeros((2, 64), bool) for _ in range(3)]
    steps[1][0, :8] = True
    steps[2][0, :16] = True
    for item in steps:
        item[1] = True
        item[1, ::2] = False
    assert group_look_alikes(steps) == [0, 0, 0]
    assert group_look_alikes(steps, distance=7) == [0, 1, 2]
    assert group_look_alikes([]) == []


def test_folds_keep_groups_together_and_are_balanced() -> None:
    groups = [f"g{number // 3}" if number < 30 else f"s{number}" for number in range(100)]
    has_caries = [number % 2 == 0 for number in range(100)]
    folds = assign_folds(groups, has_caries, seed=3)
    assert all(len({folds[i] for i in range(100) if groups[i] == group}) == 1 for group in groups)
    sizes = np.bincount(folds, minlength=5)
    assert sizes.max() - sizes.min() <= 2
    carious = np.bincount([fold for fold, sick in zip(folds, has_caries, strict=True) if sick], minlength=5)
    assert carious.max() - carious.min() <= 4
    assert folds == assign_folds(groups, has_caries, seed=3)
    assert folds != assign_folds(groups, has_caries, seed=4)


def test_leaks_are_photos_with_a_look_alike_elsewhere() -> None:
    folds = [0, 1, 2, 3, 4] * 2
    assert leaks_of_random_split([str(number) for number in range(10)], folds) == 0
    assert leaks_of_random_split(["one"] * 10, folds) == 10
    pairs = [str(number // 2) for number in range(10)]
    # A photo's twin is in one of the nine other places, of which one is in the same fold.
    assert leaks_of_random_split(pairs, folds) == pytest.approx(10 * 8 / 9, abs=0.6)
    assert leaks_of_random_split([], []) == 0
