"""Trials and folds on two nodes, with the results that they have on one machine."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, needs_training
from tests.ray_clusters import TwoNodes, two_nodes
from training.cli import main, parser

SEARCH = """
import sys, time
from functools import partial
from pathlib import Path
from app.cluster import join
from tests.training.test_cluster import run_slowly
from training.cluster import on_nodes, search_on_nodes

ray, out = join(sys.argv[1]), Path(sys.argv[2])
search_on_nodes(ray, out, int(sys.argv[3]), partial(run_slowly, out), seed=1, on_outcome=lambda: print("ended"))
"""


def run_slowly(sweep: Path, trial):
    """A trial of two seconds whose figure follows from its parameters; it notes each start."""
    import time

    from tests.training.sweep.instant_runner import BASE
    from training.sweep.trials import Scale, run_trial_once

    def runner(records, folder, recipe, fold):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "started").open("a") as log:
            log.write(f"{recipe.learning_rate_base}\n")
        time.sleep(2)
        return {"mAP@.5": 1 - recipe.learning_rate_base}

    return run_trial_once(sweep, BASE, trial, Scale(0.1), runner, fold=0)


@needs_training
def test_the_commands_of_the_page_are_understood() -> None:
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python -m training (.*--ray.*)", page, re.MULTILINE)
    assert [parser().parse_args(shlex.split(command)).ray for command in commands] == ["auto", "auto"]


@needs_training
@pytest.mark.parametrize("command", ["sweep", "cross-validate"])
def test_the_extra_is_named(tmp_path: Path, monkeypatch, capsys, command: str) -> None:
    monkeypatch.setattr("app.cluster.find_spec", lambda _: None)
    out = tmp_path / "out"
    assert main([command, "--data", str(tmp_path), "--out", str(out), "--ray", "auto"]) == 1
    said = capsys.readouterr().err
    assert "--ray needs ray, fsspec, pyarrow, not installed here; run: pip install 'caries-screen[ray]'" in said
    assert not out.exists()


@pytest.fixture(scope="module")
def cluster(ray_python: Path) -> Iterator[TwoNodes]:
    with two_nodes(ray_python) as running:
        yield running


@pytest.mark.slow
@pytest.mark.systems
@needs_training
def test_a_search_survives_the_loss_of_a_node_and_of_the_command(cluster: TwoNodes, tmp_path: Path) -> None:
    command = ["-c", SEARCH, cluster.address, str(tmp_path)]

    def starts() -> list[list[str]]:
        return [path.read_text().splitlines() for path in tmp_path.glob("trials/*/started")]

    def records() -> list[str]:
        return sorted(path.parent.name[:5] for path in tmp_path.glob("trials/*/trial.json"))

    process = cluster.start(*command, "5")
    cluster.wait(process, lambda: len(starts()) > 1)
    cluster.kill_node()
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert records() == [f"s{number:04d}" for number in range(5)]
    assert all(len(set(lines)) == 1 for lines in starts()), "a trial that starts again has the same parameters"
    cluster.add_node()
    process = cluster.start(*command, "8")
    cluster.wait(process, lambda: len(starts()) > 5)
    process.kill()
    process.communicate()
    done = cluster.run(*command, "8")
    assert done.returncode == 0, done.stderr
    assert records() == [f"s{number:04d}" for number in range(8)]
    assert cluster.run(*command, "8").stdout.count("ended") == 0


@pytest.mark.slow
@pytest.mark.systems
@needs_training
def test_trials_and_folds_have_the_results_of_one_machine(
    cluster: TwoNodes, small_data, small_recipe, tmp_path
) -> None:
    short = ["--data", str(small_data), "--recipe", str(small_recipe), "--set", "num_steps=2"]
    sweep = ["sweep", *short, "--trials", "r01,r02", "--set", "batch_size=2", "--set", "batch_norm_decay=0.001"]
    cross = ["cross-validate", *short, "--set", "batch_norm_decay=0.001", "--folds", "0,1"]
    for command, files in ((sweep, ["results.csv"]), (cross, ["evaluation.json", "fold_1/predictions.npz"])):
        here, there = tmp_path / command[0], tmp_path / f"{command[0]}-ray"
        assert main([*command, "--out", str(here)]) == 0
        done = cluster.run("-m", "training", *command, "--out", str(there), "--ray", cluster.address)
        assert done.returncode == 0, done.stderr
        assert all((there / file).exists() for file in files)
    assert table(tmp_path / "sweep-ray") == table(tmp_path / "sweep")


def table(sweep: Path) -> list[dict[str, str]]:
    """The rows of a sweep, without the time that they took."""
    with (sweep / "results.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "minutes"} for row in csv.DictReader(file)]
