from tests.training.sweep.instant_runner import BASE, Runner
from training.sweep.report import Trial, read_report
from training.sweep.table import rank_correlation, write_results
from training.sweep.trials import Scale, known_outcomes, ranked, run_trial_once


def test_results_are_ranked_with_published_figures(tmp_path) -> None:
    trials = {trial.name: trial for trial in read_report()}
    for name in ("r25", "r32", "r33"):
        run_trial_once(tmp_path, BASE, trials[name], Scale(0.1), Runner(), fold=0)
    run_trial_once(tmp_path, BASE, Trial("x1", {"batch_size": 0}), Scale(), Runner(), fold=0)
    outcomes = known_outcomes(tmp_path)
    assert [outcome.trial for outcome in ranked(outcomes)] == ["r33", "r25", "r32", "x1"]
    text = write_results(tmp_path, outcomes, "A heading.")
    assert text == (tmp_path / "results.md").read_text()
    assert text.startswith("A heading.\n\nSpearman rank correlation of measured and published mAP@.5: -0.50\n")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert lines[1].startswith(
        "| 1 | r33 | input_size 320, num_steps 2000, batch_size 20, batch_norm_decay 0.98 | 200 |"
    )
    assert "| 0.667 | 0.442 |" in lines[1]
    assert "refused: batch_size is 0" in lines[-1]
    assert (tmp_path / "results.csv").read_text().count("\n") == 5
    assert rank_correlation(outcomes[:2]) is None
