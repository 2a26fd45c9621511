"""The command `export`."""

from __future__ import annotations

import argparse

from training import run as steps
from training.commands.arguments import add_run_arguments

SUMMARY = "the latest checkpoint as SavedModel, TFLite float32 and int8"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    steps.export_step(arguments.data, steps.RunFolder(arguments.out), validation_fold=arguments.fold)
