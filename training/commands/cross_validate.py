"""The command `cross-validate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.commands.arguments import (
    add_data_arguments,
    add_folds_argument,
    add_recipe_arguments,
    read_folds,
    read_recipe,
    read_source,
)

SUMMARY = "train a recipe once for each fold, and measure it on photos that it never saw"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder of the cross-validation; made if missing")
    add_recipe_arguments(parser, has_fold=False)
    add_folds_argument(parser)
    parser.add_argument("--int8", action="store_true", help="convert each detector to int8, and say what that costs")
    parser.add_argument("--threshold", type=float, help="score of caries (default: the best F1's over all these folds)")


def run(arguments: argparse.Namespace) -> None:
    from training.cross_validation import assess_folds, compare_precisions, quantize_fold, train_fold
    from training.run import prepare_step
    from training.run_folder import RunFolder

    folds = read_folds(arguments)
    recipe = read_recipe(arguments)
    prepare_step(arguments.data, RunFolder(arguments.out), read_source(arguments))
    for fold in folds:
        train_fold(arguments.out, recipe, fold)
        if arguments.int8:
            quantize_fold(arguments.out, fold)
    print(assess_folds(arguments.out, recipe, folds, score_threshold=arguments.threshold), end="")
    if arguments.int8:
        print(compare_precisions(arguments.out, folds), end="")
