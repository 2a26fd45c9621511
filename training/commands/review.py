import argparse
from pathlib import Path

from training.commands.arguments import add_folds_argument, read_folds, read_sizes

SUMMARY = "verdicts and errors of a cross-validated detector, by kind of photo and by tooth"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cross-validation", type=Path, required=True, help="folder of cross-validate")
    parser.add_argument("--input-size", help="the predictions at this size, or at 416+320 (default: the recipe's)")
    parser.add_argument("--out", type=Path, required=True, help="folder for figures, lists and pictures of teeth")
    parser.add_argument("--kinds", type=Path, help="CSV: image, and a column per way to group photos")
    add_folds_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    from training.measure.out_of_fold import read_out_of_fold
    from training.measure.review import review

    sizes = read_sizes("--input-size", arguments.input_size) if arguments.input_size else None
    found = read_out_of_fold(arguments.cross_validation, read_folds(arguments), sizes=sizes)
    print(review(found, arguments.out, kinds=arguments.kinds), end="")
