"""The command `package`."""

from __future__ import annotations

import argparse

from training import run as steps
from training.commands.arguments import add_run_arguments
from training.configure import Recipe

SUMMARY = "evaluate, check parity, write the bundle"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    bundle = steps.package_step(
        arguments.data,
        steps.RunFolder(arguments.out),
        Recipe.read(arguments.recipe),
        validation_fold=arguments.fold,
        version=arguments.version,
        pretrained=not arguments.from_scratch,
    )
    print(bundle.path)
