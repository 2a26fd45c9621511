import pytest

from tests.training.sweep.instant_runner import BASE
from training.sweep.report import SweepError, choose, read_report
from training.sweep.trials import Scale, scaled_recipe


def test_the_report_has_the_published_trials() -> None:
    trials = read_report()
    assert [trial.name for trial in trials] == [f"r{number:02d}" for number in range(1, 73)]
    (chosen,) = [trial for trial in trials if trial.name == "r25"]
    assert chosen.changes == {
        "input_size": 320,
        "num_steps": 2000,
        "batch_size": 50,
        "iou_threshold": 0.6,
        "classification_weight": 1.2,
        "learning_rate_base": 0.03,
        "warmup_learning_rate": pytest.approx(0.01),
    }
    assert (chosen.published_map50, chosen.published_map) == (0.892, 0.748)
    assert trials[9].changes["aspect_ratios"] == (1.0, 2.85, 0.35)
    assert trials[51].published_map50 is None
    assert sum(trial.changes.get("input_size") == 640 for trial in trials) == 4
    for trial in trials:
        scaled_recipe(BASE, trial, Scale())


def test_subsets_are_named_by_ranges() -> None:
    trials = read_report()
    assert [trial.name for trial in choose(trials, "r05-r07, r01")] == ["r01", "r05", "r06", "r07"]
    assert len(choose(trials, "all")) == 72
    with pytest.raises(SweepError, match="there is no trial 'r99', allowed are r01 to r72; nearest: r"):
        choose(trials, "r01,r99")
    with pytest.raises(SweepError, match="runs backwards"):
        choose(trials, "r09-r05")
