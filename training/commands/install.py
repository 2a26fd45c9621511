"""The command `install`."""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "verify a bundle, or models.tar.gz, and put it into a model store"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, help="a bundle, a model store, or an archive of one")
    parser.add_argument("--store", type=Path, required=True, help="the model store; made if missing")
    parser.add_argument("--sha256", help="that the archive must have (default: what FILE.sha256 beside it says)")
    parser.add_argument("--replace", action="store_true", help="replace a bundle of the same version")


def run(arguments: argparse.Namespace) -> None:
    from training.release import install

    for bundle, is_new in install(
        arguments.source, arguments.store, sha256=arguments.sha256, replace=arguments.replace
    ):
        state = "installed" if is_new else "was installed already"
        threshold = bundle.operating_point.score_threshold
        print(f"{bundle.name} {bundle.version} {state}, threshold {threshold:g}: {bundle.path}")
