"""The command line of the training package: `python -m training COMMAND --data DIR --out DIR`.

`run` does everything; the other commands do one step of it, over the same folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from app.errors import CariesError
from training import render, run
from training.annotations import FOLDS, AnnotationError
from training.configure import SHIPPED_RECIPE, Recipe, RecipeError
from training.parity import ParityError
from training.pretrained import PretrainedWeightsError
from training.run import RunError
from training.train import DivergedError

EXPECTED_ERRORS = (
    AnnotationError,
    CariesError,
    DivergedError,
    FileNotFoundError,
    ParityError,
    PretrainedWeightsError,
    RecipeError,
    RunError,
    render.RenderError,
)
"""What a person can put right; everything else is a fault of this program and keeps its traceback."""

COMMANDS = {
    "run": "everything: prepare, train, export, evaluate, package",
    "prepare": "check the photos and labels, write label map and TFRecords",
    "train": "configure and train, or continue a training that was stopped",
    "export": "the latest checkpoint as SavedModel, TFLite float32 and int8",
    "evaluate": "COCO figures of the exported models on the held-out fold",
    "package": "evaluate, check parity, write the bundle",
    "render": "render mouth photos with labels, in the layout that prepare reads",
}


def parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    root = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("--out", type=Path, required=True, help="folder of the run; made if missing")
        if name == "render":
            command.add_argument("--count", type=int, default=10, help="photos (default 10)")
            command.add_argument("--seed", type=int, default=0, help="of the first photo, the next follow (default 0)")
            command.add_argument("--width", type=int, default=640, help="pixels (default 640)")
            command.add_argument("--height", type=int, default=480, help="pixels (default 480)")
            continue
        command.add_argument("--data", type=Path, required=True, help="folder with img_train/ and json_train/")
        command.add_argument("--recipe", type=Path, default=SHIPPED_RECIPE, help="TOML (default: the shipped recipe)")
        command.add_argument(
            "--fold", type=int, default=0, choices=range(FOLDS), help="fold that is held out (default 0)"
        )
        command.add_argument("--version", type=int, default=1, help="of the bundle (default 1)")
        command.add_argument(
            "--from-scratch", action="store_true", help="start from random weights, not the COCO backbone"
        )
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns 0, or 1 after printing what was wrong."""
    arguments = parser().parse_args(argv)
    try:
        _dispatch(arguments)
    except EXPECTED_ERRORS as error:
        print(f"{arguments.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _dispatch(arguments: argparse.Namespace) -> None:
    out: Path = arguments.out
    if arguments.command == "render":
        seeds = range(arguments.seed, arguments.seed + arguments.count)
        render.write_via(out, seeds, width=arguments.width, height=arguments.height)
        return
    recipe = Recipe.read(arguments.recipe)
    data: Path = arguments.data
    folder = run.RunFolder(out)
    fold: int = arguments.fold
    pretrained = not arguments.from_scratch
    version: int = arguments.version
    match arguments.command:
        case "run":
            bundle = run.run(data, out, recipe, validation_fold=fold, version=version, pretrained=pretrained)
            print(bundle.path)
        case "prepare":
            run.prepare_step(data, folder, recipe)
        case "train":
            run.train_step(folder, recipe, validation_fold=fold, pretrained=pretrained)
        case "export":
            run.export_step(data, folder, validation_fold=fold)
        case "evaluate":
            run.evaluate_step(data, folder, recipe, validation_fold=fold)
        case "package":
            bundle = run.package_step(
                data, folder, recipe, validation_fold=fold, version=version, pretrained=pretrained
            )
            print(bundle.path)
