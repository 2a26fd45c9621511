import argparse
from pathlib import Path

from training.commands.arguments import add_data_arguments, add_fold_argument, read_fold, read_sizes, read_source

SUMMARY = "run a bundle's detector at other input sizes, without training; the result can be exported and measured"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser)
    parser.add_argument("--model", type=Path, required=True, help="the folder of a bundle")
    parser.add_argument("--size", required=True, help="pixels, multiples of 32: 416, or 416+320 for both")
    parser.add_argument("--name", help="of the model (default: its own, with the new size)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; created if missing")
    add_fold_argument(parser, "fold that the bundle was trained without (default 0)")


def run(arguments: argparse.Namespace) -> None:
    from app.detector.bundle import read_bundle
    from training.enlarge import enlarge
    from training.run import prepare_step
    from training.run_folder import RunFolder

    sizes = read_sizes("--size", arguments.size)
    bundle, folder = read_bundle(arguments.model), RunFolder(arguments.out)
    prepare_step(arguments.data, folder, read_source(arguments))
    enlarge(bundle, folder, sizes, validation_fold=read_fold(arguments), name=arguments.name)
