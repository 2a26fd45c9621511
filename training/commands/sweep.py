import argparse
import shlex
from pathlib import Path

from training.commands.arguments import add_data_arguments, parse_settings, read_source
from training.data.annotations import FOLDS
from training.sweep.report import STOCK_RECIPE

SUMMARY = "run the study's trials, or search its parameters; finished trials are not repeated"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser, is_required=False)
    parser.add_argument("--out", type=Path, required=True, help="folder of the sweep; created if missing")
    parser.add_argument("--trials", default="all", help="of the study, such as r01,r05-r09 (default all)")
    parser.add_argument("--search", type=int, metavar="N", help="search with Optuna until N trials have ended instead")
    parser.add_argument("--list", action="store_true", help="list the study's trials, run nothing")
    parser.add_argument("--recipe", type=Path, default=STOCK_RECIPE, help="what a trial changes (default: the stock's)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="the same in every trial")
    parser.add_argument("--scale-steps", type=float, default=1.0, help="factor of steps and warm-up (default 1)")
    parser.add_argument("--scale-batch", type=float, default=1.0, help="factor of the batch size (default 1)")
    parser.add_argument("--fold", type=int, default=0, choices=range(FOLDS), help="fold that is held out (default 0)")
    parser.add_argument("--seed", type=int, default=0, help="of the search (default 0)")
    parser.add_argument("--retry-failed", action="store_true", help="try trials again that failed")


def run(arguments: argparse.Namespace) -> int:
    from training.machine import this_machine
    from training.recipe import Recipe
    from training.run import prepare_step, say
    from training.run_folder import RunFolder
    from training.sweep.report import SweepError, Trial, choose, read_report
    from training.sweep.search import search
    from training.sweep.table import write_results
    from training.sweep.trials import FINISHED, Outcome, Scale, known_outcomes, run_trial, run_trial_once, sole_use

    out: Path = arguments.out
    trials = choose(read_report(), arguments.trials)
    if arguments.list:
        known = {outcome.trial: outcome.status for outcome in known_outcomes(out)}
        for trial in trials:
            published = "" if trial.published_map50 is None else f"  published mAP@.5 {trial.published_map50:.3f}"
            changes = ", ".join(f"{key} {value}" for key, value in trial.changes.items())
            print(f"{trial.name}  {known.get(trial.name, 'not run'):8}  {changes}{published}")
        return 0
    if not (0 < arguments.scale_steps <= 1 and 0 < arguments.scale_batch <= 1):
        raise SweepError(
            f"the scales are {arguments.scale_steps:g} and {arguments.scale_batch:g}, allowed is above 0 up to 1"
        )
    base = Recipe.read(arguments.recipe)
    scale = Scale(arguments.scale_steps, arguments.scale_batch, parse_settings(arguments.set))
    command = f"python -m training sweep {shlex.join(_arguments(arguments))}"
    heading = f"`{command}` on {this_machine()}; fold {arguments.fold} held out."
    outcomes: list[Outcome] = []

    def run_one(trial: Trial) -> Outcome:
        say(f"trial     {trial.name}")
        outcome = run_trial_once(
            out, base, trial, scale, run_trial, fold=arguments.fold, retry_failed=arguments.retry_failed
        )
        outcomes.append(outcome)
        write_results(out, outcomes, heading)
        return outcome

    with sole_use(out):
        folder = RunFolder(out)
        if arguments.data:
            prepare_step(arguments.data, folder, read_source(arguments))
        else:
            folder.photos()
        if arguments.search:
            search(out / "study.log", arguments.search, run_one, seed=arguments.seed)
            outcomes = [outcome for outcome in known_outcomes(out) if outcome.trial.startswith("s")]
        else:
            for trial in trials:
                run_one(trial)
        print(write_results(out, outcomes, heading), end="")
    return 0 if all(outcome.status == FINISHED for outcome in outcomes) else 1


def _arguments(arguments: argparse.Namespace) -> list[str]:
    """The arguments that decide the result, without the folders."""
    given = ["--search", str(arguments.search)] if arguments.search else ["--trials", arguments.trials]
    given += [f"--set={setting}" for setting in arguments.set]
    return [*given, "--scale-steps", f"{arguments.scale_steps:g}", "--scale-batch", f"{arguments.scale_batch:g}"]
