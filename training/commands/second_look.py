"""The command `second-look`."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.commands.arguments import add_data_arguments, add_folds_argument, parse_settings, read_folds, read_source
from training.second_look.recipe import SECOND_LOOK_RECIPE, SecondLookRecipe

SUMMARY = "train a classifier of tooth crops once for each fold, and measure it on teeth that it never saw"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder of the folds; made if missing")
    parser.add_argument("--recipe", type=Path, default=SECOND_LOOK_RECIPE, help="TOML (default: the project's)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="another value for a key of the recipe"
    )
    add_folds_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    from training.annotations import read_annotated_photos
    from training.second_look.folds import assess_folds, train_folds

    folds = read_folds(arguments)
    recipe = SecondLookRecipe.of_values(
        {**SecondLookRecipe.read(arguments.recipe).as_dict(), **parse_settings(arguments.set)}
    )
    photos = read_annotated_photos(arguments.data, read_source(arguments))
    train_folds(arguments.out, photos, recipe, folds)
    print(assess_folds(arguments.out, photos, folds), end="")
