"""Studies of many trainings: cross-validation, its review, and sweeps."""

import argparse
import shlex
from functools import partial
from pathlib import Path

from app.cluster import join
from training.cluster import on_nodes, search_on_nodes
from training.commands import argument, command, out
from training.commands.arguments import (
    add_optional_data_arguments,
    add_optional_training_data_arguments,
    add_recipe_arguments,
    add_training_data_arguments,
    folds_argument,
    parse_settings,
    ray_argument,
    read_folds,
    read_input_sizes,
    read_photos,
    read_recipe,
    read_shares,
    read_sizes,
    read_source,
    read_start,
    resamples_argument,
    start_from,
)
from training.cross_validation import assess_folds, enlarge_fold, quantize_fold, train_held_out
from training.data.annotations import FOLDS
from training.errors import TrainingError
from training.learning_curve import learning_curve as train_learning_curve
from training.machine import this_machine
from training.measure.calibration import CalibrationError
from training.measure.comparison import compare_precisions, compare_sizes, table_of_sizes
from training.measure.detectors import find_detector
from training.measure.held_out import saw_fold
from training.measure.out_of_fold import OutOfFold, fold_folder, read_out_of_fold
from training.measure.predictions import predict
from training.measure.review import review as review_errors
from training.model.multi_scale import Sizes
from training.recipe import Recipe
from training.run import prepare_step, say
from training.run_folder import RunFolder
from training.sweep.report import STOCK_RECIPE, SweepError, Trial, choose, read_report
from training.sweep.search import search
from training.sweep.table import write_results
from training.sweep.trials import FINISHED, Outcome, Scale, known_outcomes, run_trial, run_trial_once, sole_use

held_out_fold = argument("--fold", type=int, default=0, choices=range(FOLDS), help="fold that is held out (default 0)")


@command(
    "train a recipe once per fold and measure it on the photos held out",
    add_training_data_arguments,
    out("folder of the cross-validation; created if missing"),
    add_recipe_arguments,
    folds_argument,
    argument(
        "--input-sizes",
        default="",
        help="further input sizes of the detector in pixels, such as 416,512; 416+320 runs at both and fuses them",
    ),
    argument("--int8", action="store_true", help="convert each detector to int8 and compare"),
    argument("--threshold", type=float, help="score of caries (default: the best F1's over all these folds)"),
    ray_argument,
)
def cross_validate(arguments: argparse.Namespace) -> None:
    ray = join(arguments.ray) if arguments.ray else None
    folder: Path = arguments.out.absolute() if ray else arguments.out
    folds = read_folds(arguments)
    recipe = read_recipe(arguments)
    enlarged = [sizes for sizes in read_input_sizes(arguments) if sizes != recipe.sizes]
    every = (None, *enlarged)
    prepare_step(arguments.data, RunFolder(folder), read_source(arguments))
    train_fold = partial(_train_fold, folder, recipe, enlarged, arguments.int8)
    for _ in on_nodes(ray, train_fold, folds) if ray else map(train_fold, folds):
        pass
    is_compared = len(folds) > 1
    for of_detector in every:
        print(assess_folds(folder, recipe, folds, score_threshold=arguments.threshold, sizes=of_detector), end="")
        try:
            if arguments.int8:
                print(compare_precisions(folder, folds, sizes=of_detector), end="")
            if of_detector is not None and len(folds) > 1:
                print(compare_sizes(folder, folds, of_detector), end="")
        except CalibrationError as error:
            print(f"Not compared: {error}.")
            is_compared = False
    if enlarged and is_compared:
        print(table_of_sizes(folder, every, has_int8=arguments.int8), end="")


def _train_fold(folder: Path, recipe: Recipe, enlarged: list[Sizes], int8: bool, fold: int) -> None:
    train_held_out(fold_folder(folder, fold), recipe, fold)
    for sizes in enlarged:
        enlarge_fold(folder, fold, sizes)
    if int8:
        for of_detector in (None, *enlarged):
            quantize_fold(folder, fold, of_detector)


@command(
    "train a recipe on shares of the photos and measure how the figures grow with them",
    add_training_data_arguments,
    out("folder of the learning curve; created if missing"),
    add_recipe_arguments,
    start_from,
    held_out_fold,
    argument(
        "--shares",
        default="0.0625,0.25,1",
        help="of the training photos of each data set, above 0 and at most 1 (default 0.0625,0.25,1)",
    ),
    resamples_argument,
)
def learning_curve(arguments: argparse.Namespace) -> None:
    shares, recipe, start = read_shares(arguments), read_recipe(arguments), read_start(arguments)
    prepare_step(arguments.data, RunFolder(arguments.out), read_source(arguments))
    resamples = max(1, arguments.resamples)
    text = train_learning_curve(arguments.out, recipe, shares, fold=arguments.fold, start=start, resamples=resamples)
    print(text, end="")


@command(
    "verdicts and errors of a detector on held-out photos, by kind of photo and by tooth",
    argument("--cross-validation", type=Path, help="folder of cross-validate, whose predictions to use"),
    argument("--model", type=Path, help="a bundle, SavedModel, .tflite file, checkpoint or run instead"),
    add_optional_data_arguments,
    argument("--input-size", help="of --cross-validation: 416, or 416+320 for both (default: the recipe's)"),
    out("folder for figures, lists and pictures of teeth"),
    argument("--kinds", type=Path, help="CSV: image, and a column per way to group photos"),
    folds_argument,
)
def review(arguments: argparse.Namespace) -> None:
    folds = read_folds(arguments)
    if arguments.cross_validation:
        sizes = read_sizes("--input-size", arguments.input_size) if arguments.input_size else None
        found = read_out_of_fold(arguments.cross_validation, folds, sizes=sizes)
    elif arguments.model and arguments.data:
        detector = find_detector(arguments.model)
        for fold in folds:
            if saw_fold(arguments.model, detector.bundle, fold):
                raise TrainingError(f"{arguments.model} was trained on fold {fold}: name others with --folds")
        photos = [photo for photo in read_photos(arguments) if photo.fold in folds]
        if not photos:
            raise TrainingError(f"no photo is in the folds {arguments.folds}: name others with --folds")
        found = OutOfFold(photos, predict(detector.load(), photos))
    else:
        raise TrainingError("give --cross-validation FOLDER, or --model DETECTOR and --data FOLDER")
    print(review_errors(found, arguments.out, kinds=arguments.kinds), end="")


@command(
    "run the study's trials, or search its parameters; finished trials are not repeated",
    add_optional_training_data_arguments,
    out("folder of the sweep; created if missing"),
    argument("--trials", default="all", help="of the study, such as r01,r05-r09 (default all)"),
    argument("--search", type=int, metavar="N", help="search with Optuna until N trials have ended instead"),
    argument("--list", action="store_true", help="list the study's trials, run nothing"),
    argument("--recipe", type=Path, default=STOCK_RECIPE, help="what a trial changes (default: the stock's)"),
    argument("--set", action="append", default=[], metavar="KEY=VALUE", help="the same in every trial"),
    start_from,
    argument("--scale-steps", type=float, default=1.0, help="factor of steps and warm-up (default 1)"),
    argument("--scale-batch", type=float, default=1.0, help="factor of the batch size (default 1)"),
    held_out_fold,
    argument("--seed", type=int, default=0, help="of the search (default 0)"),
    argument("--retry-failed", action="store_true", help="try trials again that failed"),
    ray_argument,
)
def sweep(arguments: argparse.Namespace) -> int:
    root: Path = arguments.out.absolute() if arguments.ray else arguments.out
    trials = choose(read_report(), arguments.trials)
    if arguments.list:
        known = {outcome.trial: outcome.status for outcome in known_outcomes(root)}
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
    start = read_start(arguments)
    outcomes: list[Outcome] = []

    run = partial(
        run_trial_once,
        root,
        base,
        scale=scale,
        runner=partial(run_trial, start=start),
        fold=arguments.fold,
        started_from=start.sha256 if start else "",
        retry_failed=arguments.retry_failed,
    )

    def record(outcome: Outcome) -> Outcome:
        outcomes.append(outcome)
        write_results(root, outcomes, heading)
        return outcome

    def run_one(trial: Trial) -> Outcome:
        say(f"trial     {trial.name}")
        return record(run(trial))

    def searched() -> list[Outcome]:
        return [outcome for outcome in known_outcomes(root) if outcome.trial.startswith("s")]

    def report_search() -> None:
        write_results(root, searched(), heading)
        say(f"{len(searched())} trials of the search have ended")

    ray = join(arguments.ray) if arguments.ray else None
    with sole_use(root):
        folder = RunFolder(root)
        if arguments.data:
            prepare_step(arguments.data, folder, read_source(arguments))
        else:
            folder.photos()
        if arguments.search and ray:
            search_on_nodes(ray, root, arguments.search, run, seed=arguments.seed, on_outcome=report_search)
        elif arguments.search:
            search(root / "study.log", arguments.search, run_one, seed=arguments.seed)
        elif ray:
            for outcome in on_nodes(ray, run, trials):
                say(f"trial     {record(outcome).trial} {outcome.status}")
        else:
            for trial in trials:
                run_one(trial)
        if arguments.search:
            outcomes = searched()
        print(write_results(root, outcomes, heading), end="")
    return 0 if all(outcome.status == FINISHED for outcome in outcomes) else 1


def _arguments(arguments: argparse.Namespace) -> list[str]:
    """The arguments that decide the result, without the folders."""
    given = ["--search", str(arguments.search)] if arguments.search else ["--trials", arguments.trials]
    given += [f"--set={setting}" for setting in arguments.set]
    given += ["--start-from", arguments.start_from.name] if arguments.start_from else []
    return [*given, "--scale-steps", f"{arguments.scale_steps:g}", "--scale-batch", f"{arguments.scale_batch:g}"]
