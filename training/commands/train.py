import argparse
from pathlib import Path

from training.commands.arguments import add_recipe_arguments, read_fold, read_recipe

SUMMARY = "configure and train, or resume an interrupted training"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder of the run, with records")
    add_recipe_arguments(parser)
    parser.add_argument("--checkpoint-every", type=int, default=100, help="steps between checkpoints (default 100)")


def run(arguments: argparse.Namespace) -> None:
    from training import run as steps
    from training.run_folder import RunFolder

    folder = RunFolder(arguments.out)
    steps.configure_step(folder, read_recipe(arguments), validation_fold=read_fold(arguments))
    steps.train_step(folder, checkpoint_every=max(1, arguments.checkpoint_every))
