import hashlib
from pathlib import Path

import numpy as np
import pytest

from training.data.annotations import AnnotatedPhoto
from training.measure.metrics import Matches, best_f1, half_of
from training.measure.operating_points import (
    CURVE_FIGURES,
    GOALS,
    MAX_CLEARED_SENSITIVE,
    MAX_SUSPECTED_SPECIFIC,
    OperatingPoints,
    operating_points,
)
from training.measure.verdicts import PhotoVerdicts


def photo_of_group(group: str, source: str = "") -> AnnotatedPhoto:
    empty = np.zeros((0, 4), np.float32), np.zeros(0, np.int32)
    return AnnotatedPhoto(Path("x.jpg"), 9, 9, *empty, group, 0, source)


def group_of_half(half: int) -> str:
    return next(name for name in map(str, range(99)) if hashlib.sha256(name.encode()).digest()[0] % 2 == half)


def matches(*detections: tuple[float, bool], labelled: int) -> Matches:
    scores, correct = zip(*detections, strict=True)
    return Matches(np.array(scores), np.array(correct), labelled)


def never_assessable(photos: int) -> PhotoVerdicts:
    return PhotoVerdicts(np.full(photos, -np.inf), np.full(photos, np.inf), np.ones(photos, bool))


def made_up(
    source: str, shift: float, *, without: int = 40, spread: float = 0.13, seed: int = 0
) -> tuple[list, list, list[float]]:
    """Sixty photos with one carious tooth, and `without` photos without, each with one box; the scores of those with
    caries are higher."""
    random = np.random.default_rng(seed)
    photos, found, tops = [], [], []
    for number in range(60 + without):
        has_caries = number < 60
        score = float(np.clip(random.normal(0.65 if has_caries else 0.3, spread) + shift, 0.01, 0.99))
        photos.append(photo_of_group(f"{source}{number}", source))
        found.append(matches((score, has_caries), labelled=int(has_caries)))
        tops.append(score)
    return photos, found, tops


def points_of(*sources: tuple[list, list, list[float]]) -> OperatingPoints:
    """All photos are assessable."""
    photos = [photo for source in sources for photo in source[0]]
    found = [item for source in sources for item in source[1]]
    scores = np.array([top for source in sources for top in source[2]])
    return operating_points(
        photos, found, PhotoVerdicts(scores, scores, np.array([item.labelled > 0 for item in found]))
    )


def test_each_half_is_counted_at_the_threshold_of_the_other() -> None:
    """One half is perfect from 0.8 on, the other from 0.4 on; at each other's threshold neither is."""
    high = matches((0.8, True), (0.5, False), (0.4, False), labelled=1)
    low = matches((0.5, True), (0.4, True), labelled=2)
    photos = [photo_of_group(group_of_half(0)), photo_of_group(group_of_half(1))]
    point = operating_points(photos, [high, low], never_assessable(2)).default
    # At 0.4 the first shows 3 boxes, 1 right; at 0.8 the second shows none.
    assert (point.mean["sensitivity"], point.mean["precision"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert point.mean["false_positives_per_image"] == 1
    assert point.score_threshold == pytest.approx(0.4)
    assert point.of_photos == pytest.approx([0.4, 0.8])


def test_look_alikes_stay_in_one_half() -> None:
    """All photos in one group: the other half is empty, offers threshold 1, and nothing reaches it."""
    item = matches((0.9, True), labelled=1)
    point = operating_points([photo_of_group("a")] * 3, [item] * 3, never_assessable(3)).default
    assert point.mean["sensitivity"] == 0


def test_each_point_keeps_its_bounds_in_every_source() -> None:
    first, second = made_up("one", 0.0, spread=0.2), made_up("two", 0.1, spread=0.2, seed=1)
    found = points_of(first, second)
    assert list(found.points) == list(GOALS)
    thresholds = {name: point.score_threshold for name, point in found.points.items()}
    assert thresholds["sensitive"] < thresholds["specific"]
    assert found.points["sensitive"].is_reached
    assert found.points["specific"].is_reached
    for _, _, tops in (first, second):
        ill, well = np.array(tops[:60]), np.array(tops[60:])
        assert (ill < thresholds["sensitive"]).mean() <= MAX_CLEARED_SENSITIVE
        assert (well >= thresholds["specific"]).mean() <= MAX_SUSPECTED_SPECIFIC
    # Both bounds bind: neither threshold is within the other's.
    assert max((np.array(tops[:60]) < thresholds["specific"]).mean() for _, _, tops in (first, second)) > 0.04
    assert max((np.array(tops[60:]) >= thresholds["sensitive"]).mean() for _, _, tops in (first, second)) > 0.15


def test_bounds_that_the_highest_f1_keeps_do_not_move_the_threshold() -> None:
    points = points_of(made_up("one", 0.0)).points
    assert points["balanced"].is_reached
    assert points["balanced"].score_threshold == points["specific"].score_threshold


def test_figures_are_of_each_source_and_their_mean_counts_sources_equally() -> None:
    photos, found_there, tops = made_up("small", 0.1, seed=2)
    small = photos[::4], found_there[::4], tops[::4]
    found = points_of(made_up("large", 0.0), small).default
    assert found.photos == {"large": 100, "small": 25}
    sensitivities = [found.by_source[name]["sensitivity"] or 0.0 for name in ("large", "small")]
    assert all(sensitivities)
    assert found.mean["sensitivity"] == pytest.approx(np.mean(sensitivities))
    entry = found.as_dict()
    assert entry["by_source"]["small"]["photos"] == 25
    assert entry["score_threshold"] <= found.score_threshold


def test_a_goal_out_of_reach_is_missed_at_the_highest_f1() -> None:
    """Photos with and without caries look the same, so no threshold satisfies both bounds of `balanced`."""
    photos, found, _ = made_up("one", 0.0)
    tops = np.random.default_rng(3).uniform(0.1, 0.9, 100).tolist()
    point = points_of((photos, found, tops)).default
    assert not point.is_reached
    best = max(
        np.unique([item.scores[0] for item in found]),
        key=lambda at: (
            sum(item.labelled for item in found if item.scores[0] >= at)
            / (sum(item.scores[0] >= at for item in found) + 60)
        ),
    )
    assert point.score_threshold == best


def test_bounds_that_all_photos_break_do_not_count_in_a_half_that_keeps_them() -> None:
    """In one half the photos with caries score just above the others, in the other just below."""
    photos, found, _ = made_up("one", 0.0)
    tops = [
        0.2 if (item.labelled > 0) == (half_of(photo) == 0) else 0.1 for photo, item in zip(photos, found, strict=True)
    ]
    point = points_of((photos, found, tops)).default
    assert not point.is_reached
    first = [item for photo, item in zip(photos, found, strict=True) if half_of(photo) == 0]
    assert point.of_photos[[half_of(photo) == 1 for photo in photos]] == pytest.approx(best_f1(first)[0])


def test_a_source_with_few_photos_without_caries_sets_no_bound_on_them() -> None:
    assert "specific" not in points_of(made_up("one", 0.0, without=9)).points
    with_few, alone = points_of(made_up("one", 0.0), made_up("few", 0.5, without=9)), points_of(made_up("one", 0.0))
    assert with_few.points["specific"].is_reached
    assert with_few.points["specific"].score_threshold == pytest.approx(
        alone.points["specific"].score_threshold, abs=0.05
    )


def test_figures_that_photos_cannot_give_are_null_and_left_out_of_the_mean() -> None:
    found = points_of(made_up("one", 0.0), made_up("ill", 0.0, without=0, seed=1))
    assert found.default.by_source["ill"]["photo_specificity"] is None
    assert found.default.mean["photo_specificity"] == found.default.by_source["one"]["photo_specificity"]
    assert found.curve["sources"]["ill"]["photo_specificity"] is None
    assert found.curve["mean"]["photo_specificity"] == found.curve["sources"]["one"]["photo_specificity"]


def test_the_curve_has_fifty_thresholds_by_source() -> None:
    curve = points_of(made_up("one", 0.0), made_up("two", 0.1, seed=1)).curve
    thresholds = curve["score_thresholds"]
    assert len(thresholds) == 50
    assert thresholds == sorted(set(thresholds))
    for one in (*curve["sources"].values(), curve["mean"]):
        assert list(one) == list(CURVE_FIGURES)
        assert all(len(values) == 50 for values in one.values())
    assert curve["mean"]["sensitivity"] == sorted(curve["mean"]["sensitivity"], reverse=True)
    tops = np.array(made_up("one", 0.0)[2][:60])
    assert curve["sources"]["one"]["photo_sensitivity"][25] == pytest.approx((tops >= thresholds[25]).mean(), abs=1e-4)
