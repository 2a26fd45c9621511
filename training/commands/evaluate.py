"""The command `evaluate`."""

from __future__ import annotations

import argparse

from training import run as steps
from training.commands.arguments import add_run_arguments
from training.configure import Recipe

SUMMARY = "COCO figures of the exported models on the held-out fold"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    folder = steps.RunFolder(arguments.out)
    steps.evaluate_step(arguments.data, folder, Recipe.read(arguments.recipe), validation_fold=arguments.fold)
