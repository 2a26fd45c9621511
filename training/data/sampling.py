"""The training part: how often the photos of each data set are drawn, and which of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.data.data_sets import DataSet


def effective_sampling(data_sets: Sequence[DataSet], sampling: Mapping[str, int]) -> dict[str, int]:
    """How often each photo of a set is drawn in an epoch, by set: as the recipe says, else the set's own weight."""
    return {data_set.name: sampling.get(data_set.name, data_set.weight) for data_set in data_sets}


def training_part(
    photos: Sequence[AnnotatedPhoto],
    *,
    held_out_fold: int | None,
    sampling: Mapping[str, int],
    share: float = 1.0,
    seed: int = 0,
) -> list[AnnotatedPhoto]:
    """The photos that a training draws: those of the other folds, of sets that are drawn at all.

    Of each set, this share of the groups is chosen by the seed, at least one; a smaller share is part of a larger one.
    """
    part = [photo for photo in photos if photo.fold != held_out_fold and sampling.get(photo.source, 1)]
    if share == 1:
        return part
    chosen: set[tuple[str, str]] = set()
    for source in sorted({photo.source for photo in part}):
        groups = sorted({photo.group for photo in part if photo.source == source})
        np.random.default_rng(seed).shuffle(groups)
        chosen |= {(source, group) for group in groups[: max(1, round(share * len(groups)))]}
    return [photo for photo in part if (photo.source, photo.group) in chosen]


def describe_sets(
    data_sets: Sequence[DataSet],
    photos: Sequence[AnnotatedPhoto],
    training: Sequence[AnnotatedPhoto],
    sampling: Mapping[str, int],
) -> list[dict[str, Any]]:
    """The data sets with their numbers of photos and boxes, and how often each photo was drawn, for a bundle's
    `data.sets`; `training` is the `training_part` of the photos."""
    in_training = Counter(photo.source for photo in training)
    entries = []
    for data_set in data_sets:
        own = [photo for photo in photos if photo.source == data_set.name]
        boxes = {
            name: int(sum((photo.class_ids == class_id).sum() for photo in own)) for name, class_id in CLASS_IDS.items()
        }
        entries.append(
            {
                **{key: value for key, value in data_set.as_dict().items() if key != "weight"},
                "photos": len(own),
                "training_photos": in_training[data_set.name],
                "boxes": boxes,
                "sampling": effective_sampling([data_set], sampling)[data_set.name],
            }
        )
    return entries
