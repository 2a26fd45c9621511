"""The command `enlarge`."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.commands.arguments import add_data_arguments, read_fold, read_sizes, read_source

SUMMARY = "a bundle's detector at other input sizes, without training, as a run to export and measure"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from training.data.annotations import FOLDS

    add_data_arguments(parser)
    parser.add_argument("--model", type=Path, required=True, help="the folder of a bundle")
    parser.add_argument("--size", required=True, help="pixels, multiples of 32: 416, or 416+320 to look at both")
    parser.add_argument("--name", help="of the model (default: its own, with the new size)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; made if missing")
    parser.add_argument(
        "--fold",
        default="0",
        choices=(*map(str, range(FOLDS)), "none"),
        help="fold that the bundle was trained without (default 0)",
    )


def run(arguments: argparse.Namespace) -> None:
    from app.detector.bundle import read_bundle
    from training.enlarge import enlarge
    from training.run import prepare_step
    from training.run_folder import RunFolder

    sizes = read_sizes("--size", arguments.size)
    bundle, folder = read_bundle(arguments.model), RunFolder(arguments.out)
    prepare_step(arguments.data, folder, read_source(arguments))
    enlarge(bundle, folder, sizes, validation_fold=read_fold(arguments), name=arguments.name)
