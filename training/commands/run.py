"""The command `run`."""

from __future__ import annotations

import argparse

from training import run as steps
from training.commands.arguments import add_run_arguments
from training.configure import Recipe

SUMMARY = "everything: prepare, train, export, evaluate, package"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    bundle = steps.run(
        arguments.data,
        arguments.out,
        Recipe.read(arguments.recipe),
        validation_fold=arguments.fold,
        version=arguments.version,
        pretrained=not arguments.from_scratch,
    )
    print(bundle.path)
