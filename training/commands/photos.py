"""Annotated photos: render them, and report on them."""

import argparse
from pathlib import Path

from training import render as rendering
from training.commands import argument, command, out
from training.commands.arguments import add_data_arguments, read_photos
from training.data.pooling import find_data_sets
from training.explore.report import write_report
from training.explore.sample import write_sample
from training.recipe import SHIPPED_RECIPE, Recipe


@command(
    "render mouth photos with labels, in the layout that prepare reads",
    out("folder for the photos and labels; created if missing"),
    argument("--count", type=int, default=10, help="photos (default 10)"),
    argument("--seed", type=int, default=0, help="of the first photo; the others follow (default 0)"),
    argument("--width", type=int, default=640, help="pixels (default 640)"),
    argument("--height", type=int, default=480, help="pixels (default 480)"),
)
def render(arguments: argparse.Namespace) -> None:
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    rendering.write_via(arguments.out, seeds, width=arguments.width, height=arguments.height)


@command(
    "write an HTML report on annotated photos: counts, sizes, anchors, samples, look-alikes",
    add_data_arguments,
    out("folder for report.html; created if missing"),
    argument("--recipe", type=Path, default=SHIPPED_RECIPE, help="whose anchors (default: the shipped one)"),
    argument("--sample", metavar="NAME", help="only this photo: a name, or its number such as 777"),
    argument("--seed", type=int, default=0, help="of the photos and teeth that are shown (default 0)"),
)
def explore(arguments: argparse.Namespace) -> None:
    folder: Path = arguments.out
    recipe = Recipe.read(arguments.recipe)
    photos = read_photos(arguments, unpack_to=folder / "unpacked")
    if arguments.sample:
        print(write_sample(photos, arguments.sample, folder))
        return
    title = ", ".join(data_set.name for data_set in find_data_sets(arguments.data))
    facts = write_report(photos, recipe, folder, title=title, seed=arguments.seed).as_dict()
    boxes = ", ".join(f"{count} {name}" for name, count in facts["boxes"].items())
    print(f"{facts['photos']} photos, {boxes}")
    for item in facts["anchors"]:
        if item["unreached"] is not None:
            ratios = ", ".join(f"{ratio:g}" for ratio in item["aspect_ratios"])
            print(
                f"anchors {item['name']:6}  aspect_ratios = [{ratios}]  anchor_scale = {item['anchor_scale']:g}  "
                f"reach all but {item['unreached']:.1%} of the teeth"
            )
    print(folder / "report.html")
