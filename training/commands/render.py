import argparse
from pathlib import Path

from training import render

SUMMARY = "render mouth photos with labels, in the layout that prepare reads"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder for the photos and labels; created if missing")
    parser.add_argument("--count", type=int, default=10, help="photos (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the first photo; the others follow (default 0)")
    parser.add_argument("--width", type=int, default=640, help="pixels (default 640)")
    parser.add_argument("--height", type=int, default=480, help="pixels (default 480)")


def run(arguments: argparse.Namespace) -> None:
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    render.write_via(arguments.out, seeds, width=arguments.width, height=arguments.height)
