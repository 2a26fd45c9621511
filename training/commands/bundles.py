"""Bundles and other trained detectors: use them, change them, move them."""

import argparse
import json
import sys
from pathlib import Path

from app.detect_folder import detect_photos
from app.detector.bundle import Bundle, find_bundle, read_bundle
from app.detector.engine import Engine
from app.photo.formats import MEDIA_TYPES
from app.screen_photo import Options
from app.screening import DEFAULT_MAX_BOXES, MAX_BOXES_BOUNDS, ClassSelection
from app.settings import Settings
from training.commands import argument, command, out
from training.commands.arguments import (
    NOT_BETTER,
    add_data_arguments,
    add_fold_argument,
    add_model_arguments,
    add_unseen_data_arguments,
    check_threshold,
    read_fold,
    read_photos,
    read_sizes,
    read_source,
    replaces_argument,
    resamples_argument,
    trust_unlisted,
)
from training.data.annotations import FOLDS
from training.enlarge import enlarge as enlarge_bundle
from training.measure.detectors import DEFAULT_THRESHOLD, find_detector
from training.measure.head_to_head import compare_bundles
from training.measure.predictions import DetectorError
from training.output import write_file
from training.release import install as store
from training.release.succession import install_if_better
from training.repackage import repackage as repackage_bundle
from training.run import prepare_step
from training.run_folder import RunFolder


@command(
    "annotate photos with a bundle, SavedModel, .tflite file or checkpoint",
    argument("photos", nargs="+", type=Path, metavar="PHOTO", help="a photo, or a folder of photos"),
    argument("--model", type=Path, required=True, help="a bundle, SavedModel, .tflite file, checkpoint or run"),
    out("folder for the results"),
    argument("--threshold", type=float, help="lowest score shown, 0 to 1 (default: the bundle's, else 0.5)"),
    argument("--max-boxes", type=int, help=f"boxes shown at most, {MAX_BOXES_BOUNDS} (default {DEFAULT_MAX_BOXES})"),
    argument("--classes", choices=("caries", "all"), default="caries", help="which classes are shown"),
    argument("--lang", choices=("en", "ko"), default="en", help="language of the labels"),
    argument("--format", choices=("png", "jpeg", "webp"), default="png", help="of the annotated photos"),
    argument("--json", action="store_true", help="print the answer for each photo as a line of JSON"),
    add_model_arguments,
)
def detect(arguments: argparse.Namespace) -> int:
    check_threshold(arguments)
    if arguments.max_boxes is not None and arguments.max_boxes not in MAX_BOXES_BOUNDS:
        raise DetectorError(f"--max-boxes is {arguments.max_boxes}, allowed is {MAX_BOXES_BOUNDS}")
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


@command(
    "run a bundle's detector at other input sizes, without training; the result can be exported and measured",
    add_data_arguments,
    argument("--model", type=Path, required=True, help="the folder of a bundle"),
    argument("--size", required=True, help="pixels, multiples of 32: 416, or 416+320 for both"),
    argument("--name", help="of the model (default: its own, with the new size)"),
    out("folder of the run; created if missing"),
    add_fold_argument("fold that the bundle was trained without (default 0)"),
)
def enlarge(arguments: argparse.Namespace) -> None:
    sizes = read_sizes("--size", arguments.size)
    bundle, folder = read_bundle(arguments.model), RunFolder(arguments.out)
    prepare_step(arguments.data, folder, read_source(arguments))
    enlarge_bundle(bundle, folder, sizes, validation_fold=read_fold(arguments), name=arguments.name)


@command(
    "measure a bundle again and write it as another version",
    argument("--bundle", type=Path, required=True, help="folder of the bundle"),
    add_data_arguments,
    out("folder of a run, created for it"),
    argument("--fold", type=int, default=0, choices=range(FOLDS), help="fold that was held out (default 0)"),
    argument("--version", type=int, required=True, help="of the bundle that is written to OUT/bundle"),
    argument(
        "--nms-score-threshold", type=float, help="lowest score that the TFLite models return (default: as it is)"
    ),
    replaces_argument,
)
def repackage(arguments: argparse.Namespace) -> None:
    bundle = repackage_bundle(
        read_bundle(arguments.bundle),
        arguments.data,
        RunFolder(arguments.out),
        validation_fold=arguments.fold,
        version=arguments.version,
        nms_score_threshold=arguments.nms_score_threshold,
        source=read_source(arguments),
        replaces=arguments.replaces,
    )
    print(bundle.path)


@command(
    "archive the bundles of a model store as models.tar.gz, with its SHA-256",
    argument("--store", type=Path, required=True, help="a model store, or the bundle/ folder of a run"),
    argument("--out", type=Path, default=Path("models.tar.gz"), help="default: models.tar.gz"),
    argument("--model", help="only this model"),
    argument("--model-version", type=int, help="only this version"),
)
def archive(arguments: argparse.Namespace) -> None:
    digest = store.archive(arguments.store, arguments.out, name=arguments.model, version=arguments.model_version)
    print(f"{digest}  {arguments.out}")


@command(
    "compare two bundles on photos that neither has seen; the exit status is 0 if the new one is better, else 3",
    argument("old", type=Path, metavar="OLD", help="a bundle, or a run that was packaged"),
    argument("new", type=Path, metavar="NEW", help="another one"),
    add_data_arguments,
    argument("--out", type=Path, metavar="FILE", help="write the comparison as JSON"),
    trust_unlisted,
    resamples_argument,
)
def compare(arguments: argparse.Namespace) -> int:
    comparison = compare_bundles(
        arguments.old,
        arguments.new,
        read_photos(arguments),
        trust_unlisted=arguments.trust_unlisted,
        resamples=max(1, arguments.resamples),
    )
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        write_file(arguments.out, json.dumps(comparison.as_dict(), indent=2) + "\n")
    print(comparison.as_text(), end="")
    return 0 if comparison.is_better else NOT_BETTER


@command(
    "verify a bundle or models.tar.gz and install it in a model store",
    argument("source", type=Path, help="a bundle, a model store, or an archive of one"),
    argument("--store", type=Path, required=True, help="the model store; created if missing"),
    argument("--sha256", help="expected of the archive (default: from FILE.sha256 next to it)"),
    argument("--replace", action="store_true", help="replace a bundle of the same version"),
    argument(
        "--if-better",
        action="store_true",
        help="compare the bundle on --data with the one that it would replace, and install it only if it is better; "
        "the exit status is 3 if not",
    ),
    add_unseen_data_arguments,
    argument("--out", type=Path, metavar="FILE", help="where the comparison is written (default: next to the bundle)"),
    trust_unlisted,
    resamples_argument,
)
def install(arguments: argparse.Namespace) -> int:
    if not arguments.if_better:
        for bundle, is_new in store.install(
            arguments.source, arguments.store, sha256=arguments.sha256, replace=arguments.replace
        ):
            _say_installed(bundle, arguments.store, is_new=is_new)
        return 0
    if not arguments.data:
        raise store.ReleaseError("--if-better needs --data, photos that neither detector has seen")
    comparison = install_if_better(
        arguments.source,
        arguments.store,
        read_photos(arguments),
        out=arguments.out,
        trust_unlisted=arguments.trust_unlisted,
        resamples=max(1, arguments.resamples),
    )
    print(comparison.as_text(), end="")
    if not comparison.is_better:
        return NOT_BETTER
    installed = find_bundle(arguments.store, comparison.new.name, comparison.new.version)
    _say_installed(read_bundle(installed), arguments.store, is_new=True)
    return 0


def _say_installed(bundle: Bundle, models: Path, *, is_new: bool) -> None:
    state = "installed" if is_new else "is already installed"
    threshold = bundle.operating_point.score_threshold
    print(f"{bundle.name} {bundle.version} {state}, threshold {threshold:g}: {bundle.path}")
    if settings := _settings_for(bundle, models):
        print(f"  a server of this store serves it with {settings}")


def _settings_for(bundle: Bundle, store: Path) -> str:
    """The settings with which a server serves a bundle of its store; empty if it needs none."""
    if bundle.path == find_bundle(store):
        return ""
    newest = find_bundle(store, bundle.name)
    if bundle.path == newest:
        return f"CARIES_MODEL={bundle.name}"
    return f"CARIES_MODEL={bundle.name} CARIES_MODEL_VERSION={bundle.version}: {newest.name} is newer"
