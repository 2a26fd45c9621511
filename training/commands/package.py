import argparse
from pathlib import Path

from training.commands.arguments import add_cross_validation_argument

SUMMARY = "evaluate, check parity, write the bundle"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder of the run, with an export")
    parser.add_argument("--version", type=int, default=1, help="of the bundle (default 1)")
    add_cross_validation_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    from training import run as steps
    from training.run_folder import RunFolder

    folder = RunFolder.part(arguments.out)
    bundle = steps.package_step(folder, version=arguments.version, cross_validation=arguments.cross_validation)
    print(bundle.path)
