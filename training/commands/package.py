"""The command `package`."""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "evaluate, check parity, write the bundle"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder of the run, which holds an export")
    parser.add_argument("--version", type=int, default=1, help="of the bundle (default 1)")


def run(arguments: argparse.Namespace) -> None:
    from training import run as steps
    from training.run_folder import RunFolder

    print(steps.package_step(RunFolder(arguments.out), version=arguments.version).path)
