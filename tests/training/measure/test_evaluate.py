import hashlib
from pathlib import Path

import numpy as np
import pytest

from training.data.annotations import AnnotatedPhoto
from training.measure.evaluate import figures_table, operating_point
from training.measure.metrics import Counts, Matches


def photo(group: str) -> AnnotatedPhoto:
    return AnnotatedPhoto(Path("x.jpg"), 9, 9, np.zeros((0, 4), np.float32), np.zeros(0, np.int32), group, 0)


def group_of_half(half: int) -> str:
    return next(name for name in map(str, range(99)) if hashlib.sha256(name.encode()).digest()[0] % 2 == half)


def matches(*detections: tuple[float, bool], labelled: int) -> Matches:
    scores, correct = zip(*detections, strict=True)
    return Matches(np.array(scores), np.array(correct), labelled)


def test_each_half_is_judged_at_the_threshold_of_the_other() -> None:
    """One half is perfect from 0.8 on, the other from 0.4 on; at each other's threshold neither is."""
    high = matches((0.8, True), (0.5, False), (0.4, False), labelled=1)
    low = matches((0.5, True), (0.4, True), labelled=2)
    photos = [photo(group_of_half(0)), photo(group_of_half(1))]
    threshold, counts = operating_point(photos, [high, low])
    # At 0.4 the first shows 3 boxes, 1 right; at 0.8 the second shows none.
    assert counts == Counts(true=1, shown=3, labelled=3, photos=2)
    assert threshold == pytest.approx(0.4)


def test_look_alikes_stay_in_one_half() -> None:
    """All photos in one group: the other half is empty, offers threshold 1, and nothing reaches it."""
    item = matches((0.9, True), labelled=1)
    _, counts = operating_point([photo("a")] * 3, [item] * 3)
    assert counts == Counts(true=0, shown=0, labelled=3, photos=3)


def test_the_table_has_a_column_for_each_model() -> None:
    figure = {"figures": {"mAP@.5": {"value": 0.5, "interval": (0.4, 0.6)}}}
    assert figures_table({"float32": figure, "int8": figure}).splitlines() == [
        "| figure | float32 | int8 |",
        "|---|---|---|",
        "| mAP@.5 | 0.500 [0.400, 0.600] | 0.500 [0.400, 0.600] |",
    ]
