"""Whether the errors on one photo go together.

A detector that errs on one tooth here and one there lacks what tells teeth apart. One that is wrong of nearly all
teeth of some photos, and right of nearly all of others, lacks what tells photos apart, and labels that follow the
day, the series or the person who drew them look just so. The scores must be calibrated
(`training.measure.score_calibration`): they are taken for probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np

from training.measure.metrics import Counts, Matches, best_f1

DRAWS = 200
"""Sets of labels that are drawn for what independent errors would give."""


def best_f1_by_photo(matches: Sequence[Matches]) -> Counts:
    """The counts of the highest F1 where each photo has a score threshold of its own, chosen by its labels.

    No detector can reach it; what it gains over one threshold is the part of the errors that photos share. Found by
    Dinkelbach's iteration (1967) on the ratio that F1 is.
    """
    labelled = sum(item.labelled for item in matches)
    found = [np.concatenate([[0], np.cumsum(item.correct)]) for item in matches]
    best = Counts(0, 0, labelled, len(matches))
    while True:
        shown = [int(np.argmax(2 * true - best.f1 * np.arange(len(true)))) for true in found]
        true = sum(int(of_photo[count]) for of_photo, count in zip(found, shown, strict=True))
        counts = Counts(true, sum(shown), labelled, len(matches))
        if counts.f1 <= best.f1:
            return best
        best = counts


def overdispersion(matches: Sequence[Matches]) -> float:
    """Variance of the photos' numbers of right detections over what independent detections would give: 1 where errors
    know nothing of each other, more where they go together; NaN without detections."""
    observed = sum(_surplus(item) ** 2 for item in matches)
    expected = sum(_variance(item) for item in matches)
    return observed / expected if expected else float("nan")


def excess(matches: Sequence[Matches]) -> list[float]:
    """How many more detections of each photo are right than their scores say, in standard deviations of independent
    errors (of one detection at least)."""
    return [_surplus(item) / max(1.0, _variance(item)) ** 0.5 for item in matches]


def _surplus(item: Matches) -> float:
    """Right detections beyond those that the scores expect."""
    return float(item.correct.sum() - item.scores.sum())


def _variance(item: Matches) -> float:
    """Of the number of right detections, if each were right by its score alone."""
    return float((item.scores * (1 - item.scores)).sum())


def group_correlation(matches: Sequence[Matches], groups: Sequence[str]) -> float | None:
    """How alike photos of one group are in their `excess`: Pearson's correlation over all pairs of photos of one
    group; None without two pairs that differ.

    Args:
        matches: photo by photo.
        groups: of each photo, such as those that look alike; see `AnnotatedPhoto.group`.
    """
    of_photo = excess(matches)
    pairs = [
        (of_photo[one], of_photo[other])
        for one, other in permutations(range(len(matches)), 2)
        if groups[one] == groups[other]
    ]
    if not pairs or np.ptp(pairs) == 0:
        return None
    return float(np.corrcoef(np.transpose(pairs))[0, 1])


def redrawn(matches: Sequence[Matches], random: np.random.Generator) -> list[Matches]:
    """The same detections, each right with the probability that it scores, whatever the others are; labelled teeth
    that no detection found stay so."""
    drawn = []
    for item in matches:
        correct = random.random(len(item.scores)) < item.scores
        drawn.append(Matches(item.scores, correct, item.labelled - int(item.correct.sum()) + int(correct.sum())))
    return drawn


def dispersion_table(matches: Sequence[Matches], groups: Sequence[str], *, draws: int = DRAWS, seed: int = 0) -> str:
    """A Markdown table: the F1 with one threshold and with one for each photo, as it is and as it would be if errors
    were independent (mean and central 95 % of `draws` draws); below it how far the photos' numbers of right detections
    spread, and how alike those of one group are.

    Args:
        matches: of the screened class, photo by photo.
        groups: see `group_correlation`.
        draws: sets of labels.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    sets = [redrawn(matches, random) for _ in range(draws)]
    one = [best_f1(items)[1].f1 for items in (matches, *sets)]
    own = [best_f1_by_photo(items).f1 for items in (matches, *sets)]
    rows = ["| F1 | as labelled | if errors were independent |", "|---|---|---|"]
    for name, (labelled, *drawn) in (("one threshold", one), ("a threshold of its own for each photo", own)):
        low, high = np.quantile(drawn, (0.025, 0.975))
        rows.append(f"| {name} | {labelled:.3f} | {np.mean(drawn):.3f} [{low:.3f}, {high:.3f}] |")
    rows.append(f"\nVariance between photos over that of independent errors: {overdispersion(matches):.1f}")
    alike = group_correlation(matches, groups)
    if alike is not None:
        rows.append(f"Correlation between photos of one group: {alike:+.2f}")
    return "\n".join(rows) + "\n"
