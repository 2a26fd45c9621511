import pytest

from tests.training.sweep.instant_runner import BASE, Runner
from training.cli import main
from training.sweep.report import read_report
from training.sweep.trials import Scale, run_trial_once


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


@pytest.mark.parametrize("shares", ["0,1", "0.5,2", "half", "", "nan"])
def test_shares_that_are_none_are_refused(small_data, tmp_path, capsys, shares) -> None:
    out = tmp_path / "curve"
    assert main(["learning-curve", "--data", str(small_data), "--out", str(out), "--shares", shares]) == 1
    assert f"--shares is {shares!r}, allowed are numbers from 0.001 to 1" in capsys.readouterr().err
    assert not out.exists()


def test_the_list_shows_the_state_of_each_trial(tmp_path, capsys) -> None:
    run_trial_once(tmp_path, BASE, read_report()[0], Scale(0.1), Runner(), fold=0)
    assert main(["sweep", "--out", str(tmp_path), "--list", "--trials", "r01-r02"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("r01  finished")
    assert lines[1].startswith("r02  not run")
    assert lines[1].endswith("published mAP@.5 0.779")
