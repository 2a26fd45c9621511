import argparse
from pathlib import Path

SUMMARY = "archive the bundles of a model store as models.tar.gz, with its SHA-256"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", type=Path, required=True, help="a model store, or the bundle/ folder of a run")
    parser.add_argument("--out", type=Path, default=Path("models.tar.gz"), help="default: models.tar.gz")
    parser.add_argument("--model", help="only this model")
    parser.add_argument("--model-version", type=int, help="only this version")


def run(arguments: argparse.Namespace) -> None:
    from training.release.install import archive

    digest = archive(arguments.store, arguments.out, name=arguments.model, version=arguments.model_version)
    print(f"{digest}  {arguments.out}")
