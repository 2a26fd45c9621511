import argparse
import sys
from pathlib import Path

from training.commands.arguments import add_model_arguments

SUMMARY = "annotate photos with a bundle, SavedModel, .tflite file or checkpoint"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="a photo, or a folder of photos")
    parser.add_argument(
        "--model", type=Path, required=True, help="a bundle, SavedModel, .tflite file, checkpoint or run"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--threshold", type=float, help="lowest score shown, 0 to 1 (default: the bundle's, else 0.5)")
    parser.add_argument("--max-boxes", type=int, help="boxes shown at most, 1 to 100 (default 5)")
    parser.add_argument("--classes", choices=("caries", "all"), default="caries", help="which classes are shown")
    parser.add_argument("--lang", choices=("en", "ko"), default="en", help="language of the labels")
    parser.add_argument("--format", choices=("png", "jpeg", "webp"), default="png", help="of the annotated photos")
    parser.add_argument("--json", action="store_true", help="print the answer for each photo as a line of JSON")
    add_model_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    from app.detect_folder import detect_photos
    from app.detector.engine import Engine
    from app.photo.formats import MEDIA_TYPES
    from app.screen_photo import Options
    from app.screening import MAX_BOXES_LIMIT, ClassSelection
    from app.settings import Settings
    from training.measure.detectors import DEFAULT_THRESHOLD, find_detector
    from training.measure.predictions import DetectorError

    if arguments.threshold is not None and not 0 <= arguments.threshold <= 1:
        raise DetectorError(f"--threshold is {arguments.threshold:g}, allowed is 0 to 1")
    if arguments.max_boxes is not None and not 1 <= arguments.max_boxes <= MAX_BOXES_LIMIT:
        raise DetectorError(f"--max-boxes is {arguments.max_boxes}, allowed is 1 to {MAX_BOXES_LIMIT}")
    detector = find_detector(arguments.model, model=arguments.which, input_size=arguments.input_size)
    if not detector.has_operating_point and arguments.threshold is None:
        print(
            f"detect: {detector} has no operating point: boxes of score {DEFAULT_THRESHOLD:g} or more", file=sys.stderr
        )
    options = Options(
        threshold=arguments.threshold,
        max_boxes=arguments.max_boxes,
        classes=ClassSelection(arguments.classes),
        lang=arguments.lang,
        media_type=MEDIA_TYPES[arguments.format],
    )
    settings = Settings.read({}, {})
    engine = Engine(detector.bundle, detector.load)
    failures = detect_photos(
        arguments.photos, arguments.out, options, settings, print_json=arguments.json, engine=engine
    )
    for path, reason in failures:
        print(f"detect: {path}: {reason}", file=sys.stderr)
    return 1 if failures else 0
