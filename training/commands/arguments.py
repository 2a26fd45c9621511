"""Arguments shared by several commands."""

import argparse
import sys
import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from app.screening import THRESHOLD_BOUNDS
from training.commands import AddArguments, argument
from training.data.annotations import FOLDS, AnnotatedPhoto, AnnotationError, Source
from training.data.formats import FORMATS
from training.data.pooling import read_sets
from training.data.source import PartialLabels, ToothDetector
from training.errors import TrainingError
from training.measure.detectors import find_detector
from training.measure.metrics import RESAMPLES
from training.model.multi_scale import Sizes
from training.model.pretrained.start import Start, find_start
from training.recipe import RANGES, SHIPPED_RECIPE, Recipe, RecipeError

WITHOUT_DETECTOR = {Path(choice): choice for choice in PartialLabels}
"""Values of `--teeth-from` that are not detectors."""
PREPARED = "those prepared before"


def add_data_arguments(parser: argparse.ArgumentParser, *, default: str = "", is_training: bool = False) -> None:
    """Annotated photos, required unless there is a default, and how to read them."""
    text = (
        f"annotated photos: a folder, zip file or dataset.toml; may be repeated{default and f' (default: {default})'}"
    )
    parser.add_argument("--data", type=Path, action="append", required=not default, help=text)
    parser.add_argument(
        "--format", default="auto", choices=("auto", *FORMATS), help="of the labels (default: by their content)"
    )
    parser.add_argument(
        "--rename", action="append", default=[], metavar="LABEL=CLASS", help="such as cavity=caries; may be repeated"
    )
    parser.add_argument("--split-seed", type=int, default=0, help="of the folds, if no folds.csv gives them")
    parser.add_argument(
        "--skip-invalid", action="store_true", help="leave out and list photos with problems (default: refuse the data)"
    )
    if is_training:
        parser.add_argument(
            "--teeth-from",
            type=Path,
            default=Path(PartialLabels.REFUSE),
            help="a bundle, run or checkpoint that finds teeth without a label, where not every tooth has one; "
            "leave-out trains without data sets of carious teeth only, none trains on their other teeth as background",
        )
    else:
        parser.set_defaults(teeth_from=Path(PartialLabels.BACKGROUND))


add_training_data_arguments = partial(add_data_arguments, is_training=True)
add_optional_data_arguments = partial(add_data_arguments, default=PREPARED)
add_unseen_data_arguments = partial(add_data_arguments, default="none")
add_further_training_data_arguments = partial(add_data_arguments, default="the reviewed photos alone", is_training=True)
add_optional_training_data_arguments = partial(add_data_arguments, default=PREPARED, is_training=True)


def read_source(arguments: argparse.Namespace) -> Source:
    """How to read the annotated photos. Raises AnnotationError: a `--rename` is not of the form LABEL=CLASS;
    DetectorError: `--teeth-from` is not a detector."""
    rename = {}
    for text in arguments.rename:
        label, equals, name = text.partition("=")
        if not equals:
            raise AnnotationError(f"--rename {text} is not of the form LABEL=CLASS")
        rename[label.strip()] = name.strip()
    teeth_from: Path = arguments.teeth_from
    tooth_detector = None
    if teeth_from not in WITHOUT_DETECTOR:
        detector = find_detector(teeth_from)
        tooth_detector = ToothDetector(detector.bundle.name, detector.bundle.sha256, detector.load, teeth_from)
    return Source(
        arguments.format,
        rename,
        arguments.split_seed,
        skip_invalid=arguments.skip_invalid,
        teeth_from=tooth_detector,
        partial_labels=WITHOUT_DETECTOR.get(teeth_from, PartialLabels.REFUSE),
    )


def read_photos(arguments: argparse.Namespace, *, unpack_to: Path | None = None) -> list[AnnotatedPhoto]:
    """The annotated photos; lists those that were skipped on the error stream. Raises AnnotationError: see
    `training.data.pooling.read_sets`."""
    data = read_sets(arguments.data, replace(read_source(arguments), unpack_to=unpack_to))
    for line in data.problems:
        print(f"skipped: {line}", file=sys.stderr)
    return data.photos


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", type=Path, default=SHIPPED_RECIPE, help="TOML (default: the shipped recipe)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe")


def add_recipe_and_fold_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe_arguments(parser)
    add_fold_argument("fold to hold out; none trains on all photos and measures on none (default 0)")(parser)


start_from = argument(
    "--start-from",
    type=Path,
    help="a bundle, run or checkpoint whose weights to start from (default: the recipe's pretrained weights)",
)


def read_start(arguments: argparse.Namespace) -> Start | None:
    """The weights of `--start-from`, if any. Raises CheckpointError, BundleError: see `find_start`."""
    return find_start(arguments.start_from) if arguments.start_from else None


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """The model of a bundle, and what a SavedModel may not state."""
    models = ("saved_model", "float32", "int8")
    parser.add_argument("--which", choices=models, default="float32", help="model of a bundle (default float32)")
    parser.add_argument("--input-size", type=int, help="pixels, for a SavedModel that does not state its input size")


def add_fold_argument(text: str) -> AddArguments:
    return argument("--fold", default="0", choices=(*map(str, range(FOLDS)), "none"), help=text)


folds_argument = argument(
    "--folds", default=",".join(map(str, range(FOLDS))), help="folds to hold out in turn, such as 0,1 (default all)"
)

cross_validation = argument(
    "--cross-validation",
    type=Path,
    help="folder of cross-validate with the same recipe, for figures, calibration and threshold (default: from the "
    "held-out fold)",
)


replaces_argument = argument(
    "--replaces",
    action="append",
    default=[],
    metavar="MODEL",
    help="name of a model that the bundle replaces; may be repeated",
)


NOT_BETTER = 3
"""Exit status of a comparison that the new detector did not win; 1 is an error, 2 a wrong command line."""

trust_unlisted = argument(
    "--trust-unlisted",
    action="store_true",
    help="compare even if a bundle does not list the photos of its training (default: refuse, they may be among these)",
)


ray_argument = argument(
    "--ray",
    metavar="ADDRESS",
    help="train on the nodes of the Ray cluster at HOST:PORT, auto or local; they must share the folders",
)

resamples_argument = argument(
    "--resamples", type=int, default=RESAMPLES, help=f"of the intervals (default {RESAMPLES})"
)


def check_threshold(arguments: argparse.Namespace) -> None:
    if arguments.threshold is not None and arguments.threshold not in THRESHOLD_BOUNDS:
        raise TrainingError(f"--threshold is {arguments.threshold:g}, allowed is {THRESHOLD_BOUNDS}")


def read_folds(arguments: argparse.Namespace) -> list[int]:
    """The folds to hold out in turn. Raises TrainingError: they are not numbers of folds."""
    text: str = arguments.folds
    try:
        folds = sorted({int(part) for part in text.split(",")})
    except ValueError:
        folds = []
    if not folds or not set(folds) <= set(range(FOLDS)):
        raise TrainingError(f"--folds is {text!r}, allowed are numbers from 0 to {FOLDS - 1} separated by commas")
    return folds


def read_shares(arguments: argparse.Namespace) -> list[float]:
    """The shares of the training photos, ascending. Raises TrainingError: they are not shares."""
    text: str = arguments.shares
    low, high = RANGES["training_share"]
    try:
        shares = sorted({float(part) for part in text.split(",")})
    except ValueError:
        shares = []
    if not shares or not all(low <= share <= high for share in shares):
        raise TrainingError(f"--shares is {text!r}, allowed are numbers from {low:g} to {high:g} separated by commas")
    return shares


def read_input_sizes(arguments: argparse.Namespace) -> list[Sizes]:
    """Further sizes in pixels, one tuple per detector. Raises TrainingError: one of them is not allowed."""
    return [read_sizes("--input-sizes", text) for text in arguments.input_sizes.split(",") if text.strip()]


def read_sizes(argument: str, text: str) -> Sizes:
    """The sizes in pixels of one detector, such as `416` or `416+320`, its input size first. Raises TrainingError: one
    of them is not allowed."""
    parts = [part.strip() for part in text.split("+")]
    sizes = sorted((int(part) for part in parts if part.isdecimal()), reverse=True)
    if len(set(sizes)) < len(parts) or not all(96 <= size <= 1280 and size % 32 == 0 for size in sizes):
        raise TrainingError(
            f"{argument} is {text.strip()!r}, allowed are multiples of 32 from 96 to 1280, or several such as 416+320"
        )
    return tuple(sizes)


def read_fold(arguments: argparse.Namespace) -> int | None:
    return None if arguments.fold == "none" else int(arguments.fold)


def read_recipe(arguments: argparse.Namespace) -> Recipe:
    """The recipe with its changes. Raises RecipeError: the recipe or a `--set` is wrong."""
    return with_settings(Recipe.read(arguments.recipe), arguments.set)


def with_settings(recipe: Recipe, settings: list[str]) -> Recipe:
    """The recipe with changed values. Raises RecipeError: a setting is not of the form `key=value`, or its key or value
    is not allowed."""
    values = parse_settings(settings)
    changed = Recipe.from_dict({**recipe.as_dict(), **values})
    changed.check_use(values)
    return changed


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """Keys and values of settings `key=value`; values are TOML, texts without quotes. Raises RecipeError: a setting is
    not of this form."""
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise RecipeError(f"--set {setting} is not of the form KEY=VALUE")
        try:
            values[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = text.strip()
    return values
