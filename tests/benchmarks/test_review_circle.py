"""The made-up readers of the circle err as often as they should, and the same way each time."""

import random
from dataclasses import replace

from app.reviews.labels import Labels
from benchmarks.review_circle import choose, record
from training.data.annotations import AnnotatedPhoto, read_annotated_photos


def photos(folder) -> list[AnnotatedPhoto]:
    return read_annotated_photos(folder)


def test_parts_share_no_group(example_photos) -> None:
    found = [
        replace(photo, group=f"g{number // 2}") for number, photo in enumerate(photos(example_photos[0].parents[1]) * 3)
    ]
    reviewed, first = choose(found, 4, seed=1)
    assert len(reviewed) == len(first) == 4
    assert not {photo.group for photo in reviewed} & {photo.group for photo in first}
    assert choose(found, 4, seed=1) == (reviewed, first)


def test_a_reader_errs_and_the_consensus_does_not(example_photos) -> None:
    found = photos(example_photos[0].parents[1])
    exact = [record(photo) for photo in found]
    read = [[record(photo, random.Random(seed)) for photo in found] for seed in (1, 1, 2)]
    assert read[0] == read[1] != read[2]
    assert read[0] != exact
    for photo, values in zip(found, exact, strict=True):
        assert [box["class"] == "caries" for box in values["boxes"]] == (photo.class_ids == 2).tolist()
    for records in (exact, *read):
        for photo, values in zip(found, records, strict=True):
            Labels.from_json(values["verdict"], values["boxes"]).check(photo.width, photo.height)
