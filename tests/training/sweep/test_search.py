import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.training.sweep.instant_runner import BASE, Runner
from training.sweep.report import Trial
from training.sweep.search import ASPECT_RATIOS, RANGES, search
from training.sweep.trials import Scale, known_outcomes, run_trial_once

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
