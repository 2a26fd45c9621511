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

SUMMARY = "train a recipe once per fold and measure it on the photos held out"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder of the cross-validation; created if missing")
    add_recipe_arguments(parser, has_fold=False)
    add_folds_argument(parser)
    add_input_sizes_argument(parser)
    parser.add_argument("--int8", action="store_true", help="convert each detector to int8 and compare")
    parser.add_argument("--threshold", type=float, help="score of caries (default: the best F1's over all these folds)")


def run(arguments: argparse.Namespace) -> None:
    from training.cross_validation import assess_folds, enlarge_fold, quantize_fold, train_fold
    from training.measure.calibration import CalibrationError
    from training.measure.comparison import compare_precisions, compare_sizes, table_of_sizes
    from training.run import prepare_step
    from training.run_folder import RunFolder

    folds = read_folds(arguments)
    recipe = read_recipe(arguments)
    enlarged = [sizes for sizes in read_input_sizes(arguments) if sizes != recipe.sizes]
    every = (None, *enlarged)
    prepare_step(arguments.data, RunFolder(arguments.out), read_source(arguments))
    for fold in folds:
        train_fold(arguments.out, recipe, fold)
        for sizes in enlarged:
            enlarge_fold(arguments.out, fold, sizes)
        if arguments.int8:
            for of_detector in every:
                quantize_fold(arguments.out, fold, of_detector)
    is_compared = len(folds) > 1
    for of_detector in every:
        print(
            assess_folds(arguments.out, recipe, folds, score_threshold=arguments.threshold, sizes=of_detector),
            end="",
        )
        try:
            if arguments.int8:
                print(compare_precisions(arguments.out, folds, sizes=of_detector), end="")
            if of_detector is not None and len(folds) > 1:
                print(compare_sizes(arguments.out, folds, of_detector), end="")
        except CalibrationError as error:
            print(f"Not compared: {error}.")
            is_compared = False
    if enlarged and is_compared:
        print(table_of_sizes(arguments.out, every, has_int8=arguments.int8), end="")
