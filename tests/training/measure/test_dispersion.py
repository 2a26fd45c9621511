import numpy as np
import pytest

from training.measure.dispersion import (
    best_f1_by_photo,
    dispersion_table,
    excess,
    group_correlation,
    overdispersion,
    redrawn,
)
from training.measure.metrics import Counts, Matches, best_f1


def photo(scores: list[float], correct: list[int], labelled: int) -> Matches:
    return Matches(np.array(scores, np.float64), np.array(correct, bool), labelled)


def photos_of_one_kind_each(count: int) -> list[Matches]:
    """Ten boxes a photo, all of them right on every other photo and all of them wrong on the rest."""
    return [photo([0.5] * 10, [number % 2] * 10, 10 * (number % 2)) for number in range(count)]


def test_each_photo_shows_the_number_of_boxes_that_is_best_for_the_f1() -> None:
    # One threshold shows all four, or the highest two; the best shows two on the first photo and none on the second.
    matches = [photo([0.6, 0.4], [1, 1], 2), photo([0.9, 0.5], [0, 0], 0)]
    assert best_f1_by_photo(matches) == Counts(true=2, shown=2, labelled=2, photos=2)
    assert best_f1(matches)[1].f1 < 1


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_best_of_all_thresholds(seed) -> None:
    random = np.random.default_rng(seed)
    correct = random.random((3, 6)) < 0.3
    matches = [photo([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], list(row), int(row.sum())) for row in correct]
    labelled = int(correct.sum())
    every = [
        Counts(int(sum(row[:n].sum() for row, n in zip(correct, shown, strict=True))), sum(shown), labelled, 3).f1
        for shown in np.ndindex(7, 7, 7)
    ]
    assert best_f1_by_photo(matches).f1 == pytest.approx(max(every))


@pytest.mark.parametrize("matches", [[], [photo([], [], 3)], [photo([0.5], [0], 0)]], ids=["none", "blind", "wrong"])
def test_nothing_right_is_an_f1_of_nothing(matches) -> None:
    assert best_f1_by_photo(matches).f1 == 0


def test_errors_that_go_together_spread_photos_further_than_independent_ones() -> None:
    together = photos_of_one_kind_each(40)
    apart = redrawn(together, np.random.default_rng(1))
    # (10 x 0.5)^2 over 10 x 0.25.
    assert overdispersion(together) == pytest.approx(10)
    assert overdispersion(apart) == pytest.approx(1, abs=0.5)
    assert np.isnan(overdispersion([photo([], [], 1)]))


def test_drawn_labels_follow_the_scores_and_keep_the_missed_teeth() -> None:
    matches = [photo([0.9] * 500 + [0.2] * 500, [0] * 1000, 7)]
    (drawn,) = redrawn(matches, np.random.default_rng(0))
    assert drawn.correct[:500].mean() == pytest.approx(0.9, abs=0.05)
    assert drawn.correct[500:].mean() == pytest.approx(0.2, abs=0.06)
    assert drawn.labelled == 7 + drawn.correct.sum()


def test_the_table_shows_what_photos_share() -> None:
    alternating = [str(number % 2) for number in range(20)]
    lines = dispersion_table(photos_of_one_kind_each(20), alternating, draws=20).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[2:4]] for line in lines[2:4]]
    # Shown all: 100 of 200 right, of 100 labelled. With separate thresholds each photo shows its right ones alone.
    assert [row[0] for row in cells] == ["0.667", "1.000"]
    assert float(cells[1][1].split()[0]) < 0.8
    assert lines[-2] == "Variance between photos over that of independent errors: 10.0"
    assert lines[-1] == "Correlation between photos of one group: +1.00"
    assert dispersion_table(photos_of_one_kind_each(20), alternating, draws=20).splitlines() == lines
    alone = [str(number) for number in range(20)]
    assert "of one group" not in dispersion_table(photos_of_one_kind_each(20), alone, draws=20)


def test_excess_counts_right_detections_beyond_the_scores() -> None:
    # 16 x 0.25 is a variance of 4; with almost none the unit is one detection.
    matches = [photo([0.5] * 16, [1] * 16, 16), photo([0.5] * 16, [0] * 16, 3), photo([0.9], [0], 0), photo([], [], 2)]
    assert excess(matches) == pytest.approx([4, -4, -0.9, 0])


def test_only_photos_of_one_group_are_compared() -> None:
    matches = photos_of_one_kind_each(4)
    assert group_correlation(matches, ["a", "b", "a", "b"]) == pytest.approx(1)
    assert group_correlation(matches, ["a", "a", "b", "b"]) == pytest.approx(-1)
    assert group_correlation(matches, ["a", "b", "c", "d"]) is None
    assert group_correlation([matches[1], matches[3]], ["a", "a"]) is None
