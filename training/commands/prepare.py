"""The command `prepare`."""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "check the photos and labels, write label map and TFRecords"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="annotated photos")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; made if missing")


def run(arguments: argparse.Namespace) -> None:
    from training import run as steps

    steps.prepare_step(arguments.data, steps.RunFolder(arguments.out))
