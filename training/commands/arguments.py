"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.annotations import FOLDS
from training.configure import SHIPPED_RECIPE


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Data, folder of the run, recipe and held-out fold."""
    parser.add_argument("--data", type=Path, required=True, help="folder with img_train/ and json_train/")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; made if missing")
    parser.add_argument("--recipe", type=Path, default=SHIPPED_RECIPE, help="TOML (default: the shipped recipe)")
    parser.add_argument("--fold", type=int, default=0, choices=range(FOLDS), help="fold that is held out (default 0)")
    parser.add_argument("--version", type=int, default=1, help="of the bundle (default 1)")
    parser.add_argument("--from-scratch", action="store_true", help="start from random weights, not the COCO backbone")
