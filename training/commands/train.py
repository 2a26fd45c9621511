"""The command `train`."""

from __future__ import annotations

import argparse

from training import run as steps
from training.commands.arguments import add_run_arguments
from training.configure import Recipe

SUMMARY = "configure and train, or continue a training that was stopped"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    folder = steps.RunFolder(arguments.out)
    recipe = Recipe.read(arguments.recipe)
    steps.train_step(folder, recipe, validation_fold=arguments.fold, pretrained=not arguments.from_scratch)
