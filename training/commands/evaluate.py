import argparse
from pathlib import Path

from training.commands.arguments import add_data_arguments, add_model_arguments, read_photos
from training.data.annotations import FOLDS

SUMMARY = "measure a run's exported models, or any detector, on the held-out fold"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the run; with --model: where the figures and plots go"
    )
    parser.add_argument("--model", type=Path, help="a bundle, SavedModel, .tflite file, checkpoint or run")
    add_data_arguments(parser, is_required=False)
    parser.add_argument(
        "--fold",
        choices=[*map(str, range(FOLDS)), "all"],
        help="photos for --model (default: the fold that a run held out, else 0)",
    )
    parser.add_argument("--threshold", type=float, help="score of caries (default: the bundle's, else the best F1's)")
    add_model_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    from training import run as steps
    from training.run_folder import RunError, RunFolder

    folder = RunFolder.part(arguments.out)
    if arguments.model is None:
        steps.evaluate_step(folder)
        return
    if arguments.threshold is not None and not 0 <= arguments.threshold <= 1:
        raise RunError(f"--threshold is {arguments.threshold:g}, allowed is 0 to 1")
    from training.measure.detectors import assess_detector, find_detector
    from training.measure.held_out import saw_fold

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
    text = assess_detector(
        detector,
        photos,
        arguments.out,
        fold=fold,
        threshold=arguments.threshold,
        was_trained_on=fold != "all" and saw_fold(arguments.model, detector.bundle, int(fold)),
    )
    print(text, end="")
