import argparse
from dataclasses import asdict
from pathlib import Path

from training.commands.arguments import add_recipe_arguments, read_fold, read_recipe

SUMMARY = "a recipe to pipeline.config; shows the differences from the stock one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder of the run, with records")
    add_recipe_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    from training import run as steps
    from training.model.augmentation import Augmentation
    from training.model.configure import differences_from_stock
    from training.run_folder import RunFolder

    folder = RunFolder(arguments.out)
    recipe = read_recipe(arguments)
    steps.configure_step(folder, recipe, validation_fold=read_fold(arguments))
    print(f"{folder.pipeline_config}, compared with the stock {recipe.architecture}:")
    text = folder.pipeline_config.read_text(encoding="utf-8")
    for name, stock, ours in differences_from_stock(text, recipe.architecture):
        print(f"  {name}: {stock} -> {ours}")
    changes = {name: value for name, value in asdict(Augmentation.from_recipe(recipe)).items() if value}
    if changes:
        print("Before the API's own augmentation, training.model.augmentation changes each photo:")
    for name, value in changes.items():
        print(f"  {name}: {value:g}")
