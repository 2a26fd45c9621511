import argparse
from pathlib import Path

from training.commands.arguments import add_data_arguments, read_source

SUMMARY = "check the photos and labels, group look-alikes, write label map and TFRecords"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; created if missing")


def run(arguments: argparse.Namespace) -> None:
    from training import run as steps
    from training.run_folder import RunFolder

    steps.prepare_step(arguments.data, RunFolder(arguments.out), read_source(arguments))
