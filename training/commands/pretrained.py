import argparse
from pathlib import Path

from training.commands import command
from training.model.pretrained.backbone import find_graph
from training.model.pretrained.catalogue import CATALOGUE, PretrainedWeightsError, Weights
from training.model.pretrained.fetch import cache_folder, fetch, verify
from training.model.pretrained.restore import fine_tune_source


def _add_actions(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="show the catalogue and which weights are here")
    fetching = actions.add_parser("fetch", help="get an archive of the model zoo; resumes a broken download")
    fetching.add_argument("--from", dest="source", metavar="FILE_OR_URL", help="the archive, instead of the zoo's")
    fetching.add_argument("--mirror", metavar="URL", help="instead of the zoo's (or CARIES_PRETRAINED_MIRROR)")
    fetching.add_argument("--sha256", help="expected of the archive")
    verifying = actions.add_parser("verify", help="compare the files with those fetched")
    restoring = actions.add_parser("restore", help="show the checkpoint that a training would start from")
    restoring.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    for action in (fetching, verifying, restoring):
        action.add_argument("name", help="of the list")
    for action in actions.choices.values():
        action.add_argument("--cache", type=Path, help="folder of fetched weights (default: in the user's cache)")


@command("list, fetch, verify or restore the weights that a training starts from", _add_actions)
def pretrained(arguments: argparse.Namespace) -> None:
    cache: Path = arguments.cache or cache_folder()
    if arguments.action == "list":
        for weights in CATALOGUE.values():
            print(f"{weights.name}\n    {weights.architecture}, {weights.input_size} pixels, {weights.type}")
            print(f"    {_state(weights, cache)}\n    {weights.credit}")
        return
    name: str = arguments.name
    if arguments.action == "fetch":
        folder = fetch(name, cache, source=arguments.source, mirror=arguments.mirror, sha256=arguments.sha256)
        print(f"{folder}\nsha256 of the archive: {verify(name, cache)}")
        if CATALOGUE[name].sha256 is None and arguments.sha256 is None:
            print("The zoo publishes no sha256: compare it with another copy, or give --sha256 to have it compared.")
    elif arguments.action == "verify" and CATALOGUE.get(name) and CATALOGUE[name].url is None:
        print(f"{find_graph().name}: sha256 {CATALOGUE[name].sha256}, as released")
    elif arguments.action == "verify":
        print(f"{name}: as fetched, sha256 of the archive {verify(name, cache)}")
    else:
        architecture = CATALOGUE[name].architecture if name in CATALOGUE else ""
        found = fine_tune_source(name, architecture, arguments.out, cache=cache)
        print(f'fine_tune_checkpoint: "{found.prefix}"\nfine_tune_checkpoint_type: "{found.type}"')


def _state(weights: Weights, cache: Path) -> str:
    try:
        if weights.url is None:
            return f"installed, {find_graph().stat().st_size / 2**20:.0f} MiB"
        sha256 = verify(weights.name, cache)
    except PretrainedWeightsError as error:
        return str(error)
    size = sum(path.stat().st_size for path in (cache / weights.name).rglob("*"))
    return f"fetched, {size / 2**20:.0f} MiB, sha256 of the archive {sha256}"
