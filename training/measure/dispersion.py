"""Whether the errors on one photo go together, as when labels follow the day, the series or the labeller.

Scores must be calibrated (`training.measure.calibration`), since they are used as probabilities.
"""

from collections.abc import Sequence
from itertools import permutations

import numpy as np

from training.measure.metrics import Counts, Matches, best_f1
from training.output import markdown_table


def best_f1_by_photo(matches: Sequence[Matches]) -> Counts:
    """The counts of the highest F1 with a separate score threshold for each photo, chosen by its labels.

    No detector can reach it; its gain over one threshold is the part of the errors that the teeth of a photo share.
    Found by Dinkelbach's iteration (1967) for ratios.
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
    """Variance of the photos' numbers of right detections over that of independent detections: 1 for independent
    errors, more if they go together; NaN without detections."""
    observed = sum(_surplus(item) ** 2 for item in matches)
    expected = sum(_variance(item) for item in matches)
    return observed / expected if expected else float("nan")


def excess(matches: Sequence[Matches]) -> list[float]:
    """Right detections of each photo beyond the sum of its scores, in standard deviations of independent errors (at
    least one detection)."""
    return [_surplus(item) / max(1.0, _variance(item)) ** 0.5 for item in matches]


def _surplus(item: Matches) -> float:
    return float(item.correct.sum() - item.scores.sum())


def _variance(item: Matches) -> float:
    """Of the number of right detections, if each were right with the probability of its score alone."""
    return float((item.scores * (1 - item.scores)).sum())


def group_correlation(matches: Sequence[Matches], groups: Sequence[str]) -> float | None:
    """Pearson's correlation of the `excess` of two photos of one group, over all pairs; None without two different
    pairs."""
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
    """The same detections, each right with the probability of its score, independent of the others; labelled teeth
    that were not found stay so."""
    drawn = [random.random(len(item.scores)) < item.scores for item in matches]
    return [
        Matches(item.scores, correct, item.labelled - int(item.correct.sum()) + int(correct.sum()))
        for item, correct in zip(matches, drawn, strict=True)
    ]


def dispersion_table(matches: Sequence[Matches], groups: Sequence[str], *, draws: int = 200) -> str:
    """A Markdown table of the F1 with one threshold and with one for each photo, as labelled and with independent
    errors (mean and central 95 % of the draws), followed by `overdispersion` and `group_correlation`."""
    random = np.random.default_rng(0)
    sets = [matches, *(redrawn(matches, random) for _ in range(draws))]
    f1s = {
        "one threshold": [best_f1(items)[1].f1 for items in sets],
        "a separate threshold for each photo": [best_f1_by_photo(items).f1 for items in sets],
    }
    rows = []
    for name, (labelled, *drawn) in f1s.items():
        low, high = np.quantile(drawn, (0.025, 0.975))
        rows.append((name, f"{labelled:.3f}", f"{np.mean(drawn):.3f} [{low:.3f}, {high:.3f}]"))
    text = markdown_table(["F1", "as labelled", "if errors were independent"], rows)
    text += f"\nVariance between photos over that of independent errors: {overdispersion(matches):.1f}\n"
    correlation = group_correlation(matches, groups)
    return text if correlation is None else f"{text}Correlation between photos of one group: {correlation:+.2f}\n"
