"""The command `prepare`."""

from __future__ import annotations

import argparse

from training import run as steps
from training.commands.arguments import add_run_arguments
from training.configure import Recipe

SUMMARY = "check the photos and labels, write label map and TFRecords"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    steps.prepare_step(arguments.data, steps.RunFolder(arguments.out), Recipe.read(arguments.recipe))
