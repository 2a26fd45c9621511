"""The steps of a run, singly and together."""

import argparse
from dataclasses import asdict
from pathlib import Path

from training import run as steps
from training.commands import argument, command, out
from training.commands.arguments import (
    add_model_arguments,
    add_optional_data_arguments,
    add_recipe_and_fold_arguments,
    add_training_data_arguments,
    check_threshold,
    cross_validation,
    read_fold,
    read_photos,
    read_recipe,
    read_source,
    read_start,
    replaces_argument,
    resamples_argument,
    start_from,
)
from training.data.annotations import FOLDS
from training.measure.comparison import write_difference
from training.measure.detectors import assess_detector, find_detector, heading_of
from training.measure.held_out import saw_fold
from training.measure.report import write_assessment
from training.model.augmentation import Augmentation
from training.model.configure import differences_from_stock
from training.release.tflite import FILES
from training.run_folder import RunError, RunFolder

bundle_version = argument("--version", type=int, default=1, help="of the bundle (default 1)")


@command(
    "all steps: prepare, configure, train, export, tflite, evaluate, package",
    add_training_data_arguments,
    out("folder of the run; created if missing"),
    add_recipe_and_fold_arguments,
    start_from,
    bundle_version,
    cross_validation,
)
def run(arguments: argparse.Namespace) -> None:
    bundle = steps.run(
        arguments.data,
        arguments.out,
        read_recipe(arguments),
        validation_fold=read_fold(arguments),
        version=arguments.version,
        source=read_source(arguments),
        start=read_start(arguments),
        cross_validation=arguments.cross_validation,
    )
    print(bundle.path)


@command(
    "check the photos and labels, group look-alikes, write label map and TFRecords",
    add_training_data_arguments,
    out("folder of the run; created if missing"),
)
def prepare(arguments: argparse.Namespace) -> None:
    steps.prepare_step(arguments.data, RunFolder(arguments.out), read_source(arguments))


@command(
    "a recipe to pipeline.config; shows the differences from the stock one",
    out("folder of the run, with records"),
    add_recipe_and_fold_arguments,
    start_from,
)
def configure(arguments: argparse.Namespace) -> None:
    folder = RunFolder(arguments.out)
    recipe = read_recipe(arguments)
    steps.configure_step(folder, recipe, validation_fold=read_fold(arguments), start=read_start(arguments))
    print(f"{folder.pipeline_config}, compared with the stock {recipe.architecture}:")
    text = folder.pipeline_config.read_text(encoding="utf-8")
    for name, stock, ours in differences_from_stock(text, recipe.architecture):
        print(f"  {name}: {stock} -> {ours}")
    changes = {name: value for name, value in asdict(Augmentation.from_recipe(recipe)).items() if value}
    if changes:
        print("Before the API's own augmentation, training.model.augmentation changes each photo:")
    for name, value in changes.items():
        print(f"  {name}: {value:g}")


@command(
    "configure and train, or resume an interrupted training",
    out("folder of the run, with records"),
    add_recipe_and_fold_arguments,
    start_from,
    argument("--checkpoint-every", type=int, default=100, help="steps between checkpoints (default 100)"),
)
def train(arguments: argparse.Namespace) -> None:
    folder = RunFolder(arguments.out)
    steps.configure_step(
        folder, read_recipe(arguments), validation_fold=read_fold(arguments), start=read_start(arguments)
    )
    steps.train_step(folder, checkpoint_every=max(1, arguments.checkpoint_every))


@command(
    "export a checkpoint as SavedModel",
    out("folder of the run, with a training"),
    argument("--checkpoint", choices=("latest", "best"), default="latest", help="which one (default latest)"),
)
def export(arguments: argparse.Namespace) -> None:
    steps.export_step(RunFolder.part(arguments.out), checkpoint=arguments.checkpoint)


@command(
    "convert the exported checkpoint to TFLite float32, float16 and int8",
    out("folder of the run, with an export"),
    argument("--precision", action="append", choices=tuple(FILES), help="may be repeated (default: all)"),
)
def tflite(arguments: argparse.Namespace) -> None:
    steps.tflite_step(RunFolder.part(arguments.out), precisions=tuple(arguments.precision or FILES))


@command(
    "measure a run's exported models, or any detector, on the held-out fold",
    out("folder of the run; with --model: where the figures and plots go"),
    argument("--model", type=Path, help="a bundle, SavedModel, .tflite file, checkpoint or run"),
    argument("--against", type=Path, help="another detector, for the differences from it on the same photos"),
    add_optional_data_arguments,
    argument(
        "--fold",
        choices=[*map(str, range(FOLDS)), "all"],
        help="photos for --model (default: the fold that a run held out, else 0)",
    ),
    argument(
        "--threshold",
        type=float,
        help="score of caries (default: the bundle's, else chosen on the photos, cross-fitted)",
    ),
    resamples_argument,
    add_model_arguments,
)
def evaluate(arguments: argparse.Namespace) -> None:
    folder = RunFolder.part(arguments.out)
    if arguments.model is None:
        steps.evaluate_step(folder)
        return
    check_threshold(arguments)
    detector = find_detector(arguments.model, model=arguments.which, input_size=arguments.input_size)
    of_model = RunFolder.part(arguments.model)
    prepared = of_model if of_model.records.is_dir() else folder
    photos = read_photos(arguments) if arguments.data else prepared.photos()
    trained = RunFolder.trained(arguments.model)
    fold = arguments.fold or str((trained.configured()[1] if trained else None) or 0)
    if fold != "all":
        photos = [photo for photo in photos if photo.fold == int(fold)]
    if not photos:
        raise RunError(f"fold {fold} has no photo to evaluate on: choose another one")
    resamples = max(1, arguments.resamples)
    assessment, origin = assess_detector(detector, photos, threshold=arguments.threshold, resamples=resamples)
    is_seen = fold != "all" and saw_fold(arguments.model, detector.bundle, int(fold))
    heading = heading_of(detector, photos, fold, origin, was_trained_on=is_seen)
    print(write_assessment(assessment, heading, arguments.out), end="")
    if arguments.against:
        other = find_detector(arguments.against, model=arguments.which, input_size=arguments.input_size)
        before, _ = assess_detector(other, photos, resamples=resamples)
        print(f"\n{write_difference(assessment, before, f'# {detector} less {other}', arguments.out)}", end="")


@command(
    "evaluate, check parity, write the bundle",
    out("folder of the run, with an export"),
    bundle_version,
    cross_validation,
    replaces_argument,
    argument(
        "--earlier",
        type=Path,
        action="append",
        default=[],
        metavar="DETECTOR",
        help="where a detector is now that the training started from, or that found teeth without a label: the bundle "
        "lists its photos too; may be repeated (default: where it was)",
    ),
)
def package(arguments: argparse.Namespace) -> None:
    folder = RunFolder.part(arguments.out)
    bundle = steps.package_step(
        folder,
        version=arguments.version,
        cross_validation=arguments.cross_validation,
        replaces=arguments.replaces,
        earlier=arguments.earlier,
    )
    print(bundle.path)
