import argparse
from pathlib import Path

from training.commands.arguments import (
    add_cross_validation_argument,
    add_data_arguments,
    add_recipe_arguments,
    read_fold,
    read_recipe,
    read_source,
)

SUMMARY = "all steps: prepare, configure, train, export, tflite, evaluate, package"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; created if missing")
    add_recipe_arguments(parser)
    parser.add_argument("--version", type=int, default=1, help="of the bundle (default 1)")
    add_cross_validation_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    from training import run as steps

    bundle = steps.run(
        arguments.data,
        arguments.out,
        read_recipe(arguments),
        validation_fold=read_fold(arguments),
        version=arguments.version,
        source=read_source(arguments),
        cross_validation=arguments.cross_validation,
    )
    print(bundle.path)
