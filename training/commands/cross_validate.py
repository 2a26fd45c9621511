"""The command `cross-validate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.annotations import FOLDS
from training.commands.arguments import add_data_arguments, add_recipe_arguments, read_recipe, read_source
from training.errors import TrainingError

SUMMARY = "train a recipe once for each fold, and measure it on photos that it never saw"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder of the cross-validation; made if missing")
    add_recipe_arguments(parser, has_fold=False)
    parser.add_argument(
        "--folds",
        default=",".join(map(str, range(FOLDS))),
        help="which are held out in turn, such as 0,1 (default all)",
    )
    parser.add_argument("--threshold", type=float, help="score of caries (default: the best F1's over all these folds)")


def run(arguments: argparse.Namespace) -> None:
    from training.cross_validation import assess_folds, train_fold
    from training.run import prepare_step
    from training.run_folder import RunFolder

    folds = _folds(arguments.folds)
    recipe = read_recipe(arguments)
    prepare_step(arguments.data, RunFolder(arguments.out), read_source(arguments))
    for fold in folds:
        train_fold(arguments.out, recipe, fold)
    print(assess_folds(arguments.out, recipe, folds, score_threshold=arguments.threshold), end="")


def _folds(text: str) -> list[int]:
    try:
        folds = sorted({int(part) for part in text.split(",")})
    except ValueError:
        folds = []
    if not folds or not set(folds) <= set(range(FOLDS)):
        raise TrainingError(f"--folds is {text!r}, allowed are numbers from 0 to {FOLDS - 1} with commas between")
    return folds
