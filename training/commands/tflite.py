import argparse
from pathlib import Path

SUMMARY = "convert the exported checkpoint to TFLite float32, float16 and int8"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder of the run, with an export")
    parser.add_argument(
        "--precision", action="append", choices=("float32", "float16", "int8"), help="may be repeated (default: all)"
    )


def run(arguments: argparse.Namespace) -> None:
    from training import run as steps
    from training.release.tflite import FILES
    from training.run_folder import RunFolder

    steps.tflite_step(RunFolder.part(arguments.out), precisions=tuple(arguments.precision or FILES))
