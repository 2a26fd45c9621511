import argparse
from pathlib import Path

from training.commands.arguments import add_data_arguments, read_photos
from training.recipe import SHIPPED_RECIPE, Recipe

SUMMARY = "write an HTML report on annotated photos: counts, sizes, anchors, samples, look-alikes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for report.html; created if missing")
    parser.add_argument("--recipe", type=Path, default=SHIPPED_RECIPE, help="whose anchors (default: the shipped one)")
    parser.add_argument("--sample", metavar="NAME", help="only this photo: a name, or its number such as 777")
    parser.add_argument("--seed", type=int, default=0, help="of the photos and teeth that are shown (default 0)")


def run(arguments: argparse.Namespace) -> None:
    from training.explore.report import write_report
    from training.explore.sample import write_sample

    out: Path = arguments.out
    recipe = Recipe.read(arguments.recipe)
    photos = read_photos(arguments, unpack_to=out / "unpacked")
    if arguments.sample:
        print(write_sample(photos, arguments.sample, out))
        return
    title = arguments.data.resolve().name
    facts = write_report(photos, recipe, out, title=title, seed=arguments.seed).as_dict()
    boxes = ", ".join(f"{count} {name}" for name, count in facts["boxes"].items())
    print(f"{facts['photos']} photos, {boxes}")
    for item in facts["anchors"]:
        if item["unreached"] is not None:
            ratios = ", ".join(f"{ratio:g}" for ratio in item["aspect_ratios"])
            print(
                f"anchors {item['name']:6}  aspect_ratios = [{ratios}]  anchor_scale = {item['anchor_scale']:g}  "
                f"reach all but {item['unreached']:.1%} of the teeth"
            )
    print(out / "report.html")
