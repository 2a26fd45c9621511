from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.model.pretrained import Weights

SUMMARY = "list, fetch, verify or restore the weights that a training starts from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="show the catalogue and which weights are here")
    fetch = actions.add_parser("fetch", help="get an archive of the model zoo; resumes a broken download")
    fetch.add_argument("--from", dest="source", metavar="FILE_OR_URL", help="the archive, instead of the zoo's")
    fetch.add_argument("--mirror", metavar="URL", help="instead of the zoo's address (or CARIES_PRETRAINED_MIRROR)")
    fetch.add_argument("--sha256", help="expected of the archive")
    verify = actions.add_parser("verify", help="compare the files with those fetched")
    restore = actions.add_parser("restore", help="show the checkpoint that a training would start from")
    restore.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    for action in (fetch, verify, restore):
        action.add_argument("name", help="of the list")
    for action in actions.choices.values():
        action.add_argument("--cache", type=Path, help="folder of fetched weights (default: in the user's cache)")


def run(arguments: argparse.Namespace) -> None:
    from training.model import pretrained

    cache: Path = arguments.cache or pretrained.cache_folder()
    if arguments.action == "list":
        for weights in pretrained.CATALOGUE.values():
            print(f"{weights.name}\n    {weights.architecture}, {weights.input_size} pixels, {weights.type}")
            print(f"    {_state(weights, cache)}\n    {weights.credit}")
        return
    name: str = arguments.name
    if arguments.action == "fetch":
        folder = pretrained.fetch(
            name, cache, source=arguments.source, mirror=arguments.mirror, sha256=arguments.sha256
        )
        print(f"{folder}\nsha256 of the archive: {pretrained.verify(name, cache)}")
        if pretrained.CATALOGUE[name].sha256 is None and arguments.sha256 is None:
            print("The zoo publishes no sha256: compare it with another copy, or give --sha256 to have it compared.")
    elif arguments.action == "verify" and pretrained.CATALOGUE.get(name) and pretrained.CATALOGUE[name].url is None:
        from training.model.pretrained.backbone import find_graph

        print(f"{find_graph().name}: sha256 {pretrained.CATALOGUE[name].sha256}, as released")
    elif arguments.action == "verify":
        print(f"{name}: as fetched, sha256 of the archive {pretrained.verify(name, cache)}")
    else:
        architecture = pretrained.CATALOGUE[name].architecture if name in pretrained.CATALOGUE else ""
        found = pretrained.fine_tune_source(name, architecture, arguments.out, cache=cache)
        print(f'fine_tune_checkpoint: "{found.prefix}"\nfine_tune_checkpoint_type: "{found.type}"')


def _state(weights: Weights, cache: Path) -> str:
    from training.model import pretrained
    from training.model.pretrained.backbone import find_graph

    try:
        if weights.url is None:
            return f"installed, {find_graph().stat().st_size / 2**20:.0f} MiB"
        sha256 = pretrained.verify(weights.name, cache)
    except pretrained.PretrainedWeightsError as error:
        return str(error)
    size = sum(path.stat().st_size for path in (cache / weights.name).rglob("*"))
    return f"fetched, {size / 2**20:.0f} MiB, sha256 of the archive {sha256}"
