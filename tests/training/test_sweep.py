"""Sweeps with an instant runner; a real one runs in tests/test_notebook.py."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from training.cli import main
from training.model.train import DivergedError
from training.recipe import Recipe
from training.sweep.report import STOCK_RECIPE, SweepError, Trial, choose, read_report
from training.sweep.search import ASPECT_RATIOS, RANGES, search
from training.sweep.table import rank_correlation, write_results
from training.sweep.trials import ADDED_SINCE, Scale, known_outcomes, ranked, run_trial_once, scaled_recipe, sole_use

BASE = Recipe.read(STOCK_RECIPE)


class Runner:
    """Figures that follow from the recipe; remembers what it ran."""

    def __init__(self, fails: bool = False) -> None:
        self.ran: list[Recipe] = []
        self.fails = fails

    def __call__(self, records: Path, folder: Path, recipe: Recipe, fold: int) -> dict[str, float]:
        self.ran.append(recipe)
        if self.fails:
            raise DivergedError("the loss is not finite at step 3")
        figure = 0.5 + recipe.learning_rate_base
        return {"mAP@.5": figure, "mAP@.5:.95": figure / 2, "AP@.5 caries": 0.4, "best F1 caries": 0.3}


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


def test_a_trial_is_run_at_the_requested_scale() -> None:
    recipe = scaled_recipe(BASE, read_report()[1], Scale(0.1, 0.2, {"input_size": 128}))
    assert (recipe.num_steps, recipe.warmup_steps, recipe.batch_size, recipe.input_size) == (400, 100, 11, 128)
    assert (recipe.classification_weight, recipe.model_name) == (1.25, "r02")


def test_a_finished_trial_is_never_run_twice_and_another_scale_is_another_trial(tmp_path) -> None:
    runner, trial = Runner(), read_report()[24]
    first = run_trial_once(tmp_path, BASE, trial, Scale(0.1), runner, fold=0)
    assert run_trial_once(tmp_path, BASE, trial, Scale(0.1), runner, fold=0) == first
    assert len(runner.ran) == 1
    run_trial_once(tmp_path, BASE, trial, Scale(0.2), runner, fold=0)
    run_trial_once(tmp_path, BASE, trial, Scale(0.1), runner, fold=1)
    assert len(runner.ran) == 3
    assert len(known_outcomes(tmp_path)) == 3


def test_the_same_recipe_under_two_names_is_kept_for_both(tmp_path) -> None:
    runner = Runner()
    trials = {trial.name: trial for trial in read_report()}
    for name in ("r17", "r31"):
        run_trial_once(tmp_path, BASE, trials[name], Scale(0.1), runner, fold=0)
    assert [outcome.trial for outcome in known_outcomes(tmp_path)] == ["r17", "r31"]


def test_a_failed_trial_is_recorded_and_tried_again_only_when_asked(tmp_path) -> None:
    trial = read_report()[0]
    outcome = run_trial_once(tmp_path, BASE, trial, Scale(), Runner(fails=True), fold=0)
    assert (outcome.status, outcome.error) == ("failed", "the loss is not finite at step 3")
    runner = Runner()
    assert run_trial_once(tmp_path, BASE, trial, Scale(), runner, fold=0).status == "failed"
    assert runner.ran == []
    assert run_trial_once(tmp_path, BASE, trial, Scale(), runner, fold=0, retry_failed=True).status == "finished"


def test_a_recipe_that_is_not_allowed_is_recorded_as_refused(tmp_path) -> None:
    outcome = run_trial_once(tmp_path, BASE, Trial("x1", {"batch_size": 0}), Scale(), Runner(), fold=0)
    assert outcome.status == "refused"
    assert "batch_size is 0, allowed is 1 to 1024" in outcome.error


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


def test_a_second_sweep_in_the_folder_is_refused(tmp_path, capsys) -> None:
    with sole_use(tmp_path):
        assert main(["sweep", "--out", str(tmp_path), "--trials", "r01"]) == 1
    assert "another sweep is running" in capsys.readouterr().err
    with sole_use(tmp_path):
        pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scale-steps", "0"], "allowed is above 0 up to 1"),
        (["--trials", "r99"], "there is no trial 'r99'"),
        (["--trials", "r01"], "run prepare first"),
    ],
)
def test_a_sweep_that_cannot_start_says_why(tmp_path, capsys, arguments, message) -> None:
    assert main(["sweep", "--out", str(tmp_path), *arguments]) == 1
    assert message in capsys.readouterr().err


def test_the_list_shows_the_state_of_each_trial(tmp_path, capsys) -> None:
    run_trial_once(tmp_path, BASE, read_report()[0], Scale(0.1), Runner(), fold=0)
    assert main(["sweep", "--out", str(tmp_path), "--list", "--trials", "r01-r02"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("r01  finished")
    assert lines[1].startswith("r02  not run")
    assert lines[1].endswith("published mAP@.5 0.779")


SLOW_SWEEP = """
import sys, time
from pathlib import Path
from typing import Any
from training.recipe import Recipe
from training.sweep.report import STOCK_RECIPE, Trial
from training.sweep.search import search
from training.sweep.trials import ADDED_SINCE, Scale, run_trial_once, sole_use

out = Path(sys.argv[1])

def runner(records, folder, recipe, fold):
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "started").open("a") as log:
        log.write(f"{recipe.learning_rate_base}\\n")
    time.sleep(0.4)
    return {"mAP@.5": 1 - recipe.learning_rate_base}

def run(trial):
    return run_trial_once(out, Recipe.read(STOCK_RECIPE), trial, Scale(0.1), runner, fold=0)

with sole_use(out):
    search(out / "study.log", 5, run, seed=1)
"""


def test_a_killed_search_resumes_the_running_trial(tmp_path) -> None:
    command = [sys.executable, "-c", SLOW_SWEEP, str(tmp_path)]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 60
    while (
        sum(path.stat().st_size > 0 for path in tmp_path.glob("trials/*/started")) < 3 and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = len(known_outcomes(tmp_path))
    assert finished == 2
    subprocess.run(command, check=True)
    outcomes = known_outcomes(tmp_path)
    assert [outcome.trial for outcome in outcomes] == [f"s{number:04d}" for number in range(5)]
    starts = {path.parent.name: path.read_text().splitlines() for path in tmp_path.glob("trials/*/started")}
    assert sorted(len(lines) for lines in starts.values()) == [1, 1, 1, 1, 2], "the one that was killed started twice"
    assert all(len(set(lines)) == 1 for lines in starts.values()), "with the same parameters"
    subprocess.run(command, check=True)
    assert len(known_outcomes(tmp_path)) == 5


def test_a_resumed_search_draws_other_parameters(tmp_path) -> None:
    runner = Runner()

    def run(trial: Trial):
        return run_trial_once(tmp_path, BASE, trial, Scale(0.1), runner, fold=0)

    for count in (3, 5):
        search(tmp_path / "study.log", count, run, seed=1)
    assert len({recipe.learning_rate_base for recipe in runner.ran}) == 5


def test_a_search_killed_while_drawing_is_resumed(tmp_path, monkeypatch) -> None:
    runner = Runner()

    def run(trial: Trial):
        return run_trial_once(tmp_path, BASE, trial, Scale(0.1), runner, fold=0)

    def killed(trial: Any) -> dict[str, Any]:
        trial.suggest_float("learning_rate_base", 0.01, 0.095, log=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("training.sweep.search.suggest", killed)
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "study.log", 2, run, seed=1)
    search(tmp_path / "study.log", 2, run, seed=1)
    assert len(runner.ran) == 2


def test_a_trial_from_before_a_key_was_added_keeps_its_hash(tmp_path) -> None:
    for name in ADDED_SINCE:
        assert getattr(BASE, name) == 0
    outcome = run_trial_once(tmp_path, BASE, Trial("t", {}), Scale(), Runner(), fold=0)
    before = {key: value for key, value in BASE.as_dict().items() if key not in ADDED_SINCE}
    content = json.dumps({**before, "model_name": "", "fold": 0, "data": ""}, sort_keys=True)
    assert outcome.key == f"t-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
    turned = run_trial_once(tmp_path, BASE, Trial("t", {"rotation": 5.0}), Scale(), Runner(), fold=0)
    assert turned.key != outcome.key


def test_a_search_stays_within_the_ranges_of_the_study(tmp_path) -> None:
    runner = Runner()

    def run(trial: Trial):
        return run_trial_once(tmp_path, BASE, trial, Scale(0.1), runner, fold=0)

    search(tmp_path / "study.log", 6, run, seed=3)
    assert len(runner.ran) == 6
    for recipe in runner.ran:
        for key, (low, high, _) in RANGES.items():
            assert low <= getattr(recipe, key) <= high
        assert recipe.aspect_ratios in ASPECT_RATIOS.values()
    records = [json.loads(path.read_text()) for path in tmp_path.glob("trials/*/trial.json")]
    assert {record["machine"]["cores"] for record in records} == {len(os.sched_getaffinity(0))}
