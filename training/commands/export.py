import argparse
from pathlib import Path

SUMMARY = "export a checkpoint as SavedModel"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder of the run, with a training")
    parser.add_argument("--checkpoint", choices=("latest", "best"), default="latest", help="which one (default latest)")


def run(arguments: argparse.Namespace) -> None:
    from training import run as steps
    from training.run_folder import RunFolder

    steps.export_step(RunFolder.part(arguments.out), checkpoint=arguments.checkpoint)
