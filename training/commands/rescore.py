"""The command `rescore`."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.commands.arguments import (
    add_data_arguments,
    add_folds_argument,
    add_input_sizes_argument,
    read_folds,
    read_input_sizes,
    read_source,
)
from training.errors import TrainingError
from training.second_look.views import VIEWS

SUMMARY = "what a second look at the teeth that a detector found is worth, on photos that no model saw in training"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for the table and what was detected")
    detector = parser.add_mutually_exclusive_group(required=True)
    detector.add_argument("--model", type=Path, help="a detector that saw none of these folds in training")
    detector.add_argument(
        "--cross-validation", type=Path, help="folder of cross-validate: each fold by its own detector"
    )
    parser.add_argument("--which", choices=("saved_model", "float32", "int8"), default="float32", help="of a bundle")
    parser.add_argument("--second-look", type=Path, help="folder of second-look: its classifiers look at each tooth")
    parser.add_argument(
        "--views", default="", help=f"what else the detector is shown, with commas between: {', '.join(VIEWS)}"
    )
    add_input_sizes_argument(parser)
    add_folds_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    from training.annotations import read_annotated_photos
    from training.second_look.rescoring import rescore

    views = [name.strip() for name in arguments.views.split(",") if name.strip()]
    unknown = [name for name in views if name not in VIEWS]
    if unknown:
        raise TrainingError(f"--views is {unknown[0]!r}, allowed are {', '.join(VIEWS)}")
    folds = read_folds(arguments)
    photos = read_annotated_photos(arguments.data, read_source(arguments))
    text = rescore(
        [photo for photo in photos if photo.fold in folds],
        arguments.out,
        model=arguments.model,
        which=arguments.which,
        cross_validation=arguments.cross_validation,
        second_look=arguments.second_look,
        views=views,
        input_sizes=read_input_sizes(arguments),
    )
    print(text, end="")
