import hashlib
import json

from tests.training.sweep.instant_runner import BASE, Runner
from training.cli import main
from training.sweep.report import Trial, read_report
from training.sweep.trials import ADDED_SINCE, Scale, known_outcomes, run_trial_once, scaled_recipe, sole_use


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


def test_a_second_sweep_in_the_folder_is_refused(tmp_path, capsys) -> None:
    with sole_use(tmp_path):
        assert main(["sweep", "--out", str(tmp_path), "--trials", "r01"]) == 1
    assert "another sweep is running" in capsys.readouterr().err
    with sole_use(tmp_path):
        pass


def test_a_trial_from_before_a_key_was_added_keeps_its_hash(tmp_path) -> None:
    for name, value in ADDED_SINCE.items():
        assert getattr(BASE, name) == value
    outcome = run_trial_once(tmp_path, BASE, Trial("t", {}), Scale(), Runner(), fold=0)
    before = {key: value for key, value in BASE.as_dict().items() if key not in ADDED_SINCE}
    content = json.dumps({**before, "model_name": "", "fold": 0, "data": ""}, sort_keys=True)
    assert outcome.key == f"t-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
    turned = run_trial_once(tmp_path, BASE, Trial("t", {"rotation": 5.0}), Scale(), Runner(), fold=0)
    assert turned.key != outcome.key
    started = run_trial_once(tmp_path, BASE, Trial("t", {}), Scale(), Runner(), fold=0, started_from="abc")
    assert started.key != outcome.key
