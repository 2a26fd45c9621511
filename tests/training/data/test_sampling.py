from pathlib import Path

import numpy as np
import pytest

from training.data.annotations import AnnotatedPhoto
from training.data.data_sets import DataSet, Labels
from training.data.sampling import describe_sets, effective_sampling, training_part


def photo(source: str, number: int) -> AnnotatedPhoto:
    boxes, class_ids = np.zeros((1, 4), np.float32), np.array([1 + number % 2], np.int32)
    return AnnotatedPhoto(
        Path(f"{source}{number}.jpg"), 9, 9, boxes, class_ids, f"g{number // 2}", number // 2 % 5, source
    )


PHOTOS = [photo(source, number) for source, count in (("a", 80), ("b", 8)) for number in range(count)]
SETS = [DataSet("a", "A", "CC0", Labels.CARIOUS_TEETH_ONLY, weight=2), DataSet("b")]


def test_the_recipe_takes_precedence_over_the_weight_of_a_set() -> None:
    assert effective_sampling(SETS, {}) == {"a": 2, "b": 1}
    assert effective_sampling(SETS, {"a": 0, "other": 3}) == {"a": 0, "b": 1}


def test_the_training_part_lacks_the_held_out_fold_and_sets_that_are_not_drawn() -> None:
    part = training_part(PHOTOS, held_out_fold=0, sampling={"b": 0})
    assert part == [photo for photo in PHOTOS if photo.fold and photo.source == "a"]
    assert training_part(PHOTOS, held_out_fold=None, sampling={}) == PHOTOS


@pytest.mark.parametrize("seed", range(3))
def test_a_share_is_of_the_groups_of_each_set_and_part_of_a_larger_one(seed) -> None:
    parts = [
        training_part(PHOTOS, held_out_fold=0, sampling={}, share=share, seed=seed) for share in (1 / 16, 1 / 4, 1)
    ]
    names = [{photo.path.name for photo in part} for part in parts]
    assert names[0] < names[1] < names[2]
    for part, groups in zip(parts, ((2, 1), (8, 1), (32, 3)), strict=True):
        for source, count in zip("ab", groups, strict=True):
            own = [photo for photo in part if photo.source == source]
            assert len({photo.group for photo in own}) == count
            assert len(own) == 2 * count


def test_the_seed_chooses_the_share() -> None:
    chosen = {
        tuple(photo.path.name for photo in training_part(PHOTOS, held_out_fold=0, sampling={}, share=0.1, seed=seed))
        for seed in range(5)
    }
    assert len(chosen) == 5


def test_sets_are_described_with_their_numbers() -> None:
    part = training_part(PHOTOS, held_out_fold=0, sampling={"b": 0})
    assert describe_sets(SETS, PHOTOS, part, {"b": 0}) == [
        {
            **{"name": "a", "credit": "A", "licence": "CC0", "labels": "carious teeth only"},
            **{"photos": 80, "training_photos": 64, "boxes": {"normal": 40, "caries": 40}, "sampling": 2},
        },
        {
            **{"name": "b", "credit": "", "licence": "", "labels": "every tooth"},
            **{"photos": 8, "training_photos": 0, "boxes": {"normal": 4, "caries": 4}, "sampling": 0},
        },
    ]
