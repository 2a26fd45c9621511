"""The command `evaluate`."""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "figures of the exported models on the held-out fold"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder of the run, which holds an export")


def run(arguments: argparse.Namespace) -> None:
    from training import run as steps

    steps.evaluate_step(steps.RunFolder(arguments.out))
