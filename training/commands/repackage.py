import argparse
from pathlib import Path

from training.commands.arguments import add_data_arguments, read_source
from training.data.annotations import FOLDS

SUMMARY = "measure a bundle again and write it as another version"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    add_data_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder of a run, created for it")
    parser.add_argument("--fold", type=int, default=0, choices=range(FOLDS), help="fold that was held out (default 0)")
    parser.add_argument("--version", type=int, required=True, help="of the bundle that is written to OUT/bundle")
    parser.add_argument(
        "--nms-score-threshold", type=float, help="lowest score that the TFLite models return (default: as it is)"
    )


def run(arguments: argparse.Namespace) -> None:
    from app.detector.bundle import read_bundle
    from training.repackage import repackage
    from training.run_folder import RunFolder

    bundle = repackage(
        read_bundle(arguments.bundle),
        arguments.data,
        RunFolder(arguments.out),
        validation_fold=arguments.fold,
        version=arguments.version,
        nms_score_threshold=arguments.nms_score_threshold,
        source=read_source(arguments),
    )
    print(bundle.path)
