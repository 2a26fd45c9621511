"""The command `cross-validate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.commands.arguments import (
    add_data_arguments,
    add_folds_argument,
    add_input_sizes_argument,
    add_recipe_arguments,
    read_folds,
    read_input_sizes,
    read_recipe,
    read_source,
)

SUMMARY = "train a recipe once for each fold, and measure it on photos that it never saw"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder of the cross-validation; made if missing")
    add_recipe_arguments(parser, has_fold=False)
    add_folds_argument(parser)
    add_input_sizes_argument(parser)
    parser.add_argument("--int8", action="store_true", help="convert each detector to int8, and say what that costs")
    parser.add_argument("--threshold", type=float, help="score of caries (default: the best F1's over all these folds)")


def run(arguments: argparse.Namespace) -> None:
    from training.comparison import compare_precisions, compare_sizes
    from training.cross_validation import assess_folds, enlarge_fold, quantize_fold, train_fold
    from training.run import prepare_step
    from training.run_folder import RunFolder
    from training.score_calibration import CalibrationError

    folds = read_folds(arguments)
    recipe = read_recipe(arguments)
    enlarged = [size for size in read_input_sizes(arguments) if size != recipe.input_size]
    sizes = (None, *enlarged)
    prepare_step(arguments.data, RunFolder(arguments.out), read_source(arguments))
    for fold in folds:
        train_fold(arguments.out, recipe, fold)
        for size in enlarged:
            enlarge_fold(arguments.out, fold, size)
        if arguments.int8:
            for input_size in sizes:
                quantize_fold(arguments.out, fold, input_size)
    for input_size in sizes:
        print(
            assess_folds(arguments.out, recipe, folds, score_threshold=arguments.threshold, input_size=input_size),
            end="",
        )
        try:
            if arguments.int8:
                print(compare_precisions(arguments.out, folds, input_size=input_size), end="")
            if input_size is not None and len(folds) > 1:
                print(compare_sizes(arguments.out, folds, input_size), end="")
        except CalibrationError as error:
            print(f"Not compared: {error}.")
