"""From a review store to the next bundle."""

import argparse
from pathlib import Path

from app.settings import Settings, variable
from training.commands import argument, command, out
from training.commands.arguments import (
    NOT_BETTER,
    add_further_training_data_arguments,
    read_source,
    resamples_argument,
    trust_unlisted,
    with_settings,
)
from training.improve import improve as improve_bundle
from training.improve import start_bundle
from training.recipe import Recipe


@command(
    "train the next bundle on reviewed photos and install it if it is better; the exit status is 3 if not",
    argument("--reviews", required=True, help="the review store: a folder, or a PostgreSQL database by its URL"),
    argument("--model-store", type=Path, required=True, help="has the bundle to start from, and gets the next one"),
    argument("--model", help="name of the model (default: the store's first)"),
    add_further_training_data_arguments,
    argument(
        "--test",
        type=Path,
        action="append",
        default=[],
        help="further photos to compare on, as for --data; may be repeated",
    ),
    out("folder of exports, training and comparison; created if missing"),
    argument("--recipe", type=Path, help="TOML (default: the recipe of the bundle to start from)"),
    argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe"),
    trust_unlisted,
    resamples_argument,
)
def improve(arguments: argparse.Namespace) -> int:
    reviews = Settings.read({variable("reviews"): arguments.reviews}, {}).reviews
    assert reviews is not None
    start = start_bundle(arguments.model_store, arguments.out, arguments.model)
    recipe = Recipe.read(arguments.recipe) if arguments.recipe else Recipe.from_dict(start.manifest["recipe"])
    is_better = improve_bundle(
        reviews,
        arguments.model_store,
        arguments.out,
        start,
        with_settings(recipe, arguments.set),
        data=arguments.data or [],
        test=arguments.test,
        source=read_source(arguments),
        trust_unlisted=arguments.trust_unlisted,
        resamples=max(1, arguments.resamples),
    )
    return 0 if is_better else NOT_BETTER
