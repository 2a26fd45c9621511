"""The command line `python -m training COMMAND`; see `training.commands`."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from app.errors import CariesError
from training.errors import TrainingError
from training.quiet import quieten_tensorflow

COMMANDS = {
    "doctor": "doctor",
    "run": "steps",
    "explore": "photos",
    "prepare": "steps",
    "pretrained": "pretrained",
    **dict.fromkeys(("configure", "train", "export", "tflite", "evaluate"), "steps"),
    "detect": "bundles",
    "package": "steps",
    **dict.fromkeys(("repackage", "archive", "compare", "install"), "bundles"),
    "improve": "improvement",
    **dict.fromkeys(("sweep", "cross-validate", "learning-curve", "review"), "studies"),
    "enlarge": "bundles",
    "render": "photos",
}
"""In the order of use, with the module of `training.commands`; the name there has `_` for `-`."""


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    root = argparse.ArgumentParser(prog="python -m training", description="From annotated photos to a caries detector.")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        try:
            found = vars(importlib.import_module(f"training.commands.{module}"))[name.replace("-", "_")]
        except ImportError as error:
            _add_unavailable(commands, name, error)
            continue
        command = commands.add_parser(name, help=found.summary, description=found.summary)
        for add in found.arguments:
            add(command)
        command.set_defaults(execute=found.run)
    return root


def _add_unavailable(commands: Any, name: str, error: ImportError) -> None:
    """Add a command that only names its missing package, so that the others still work."""
    reason = str(error)

    def explain(_: argparse.Namespace) -> int:
        print(f"{name}: {reason}; python -m training doctor says what to install", file=sys.stderr)
        return 1

    command = commands.add_parser(name, help=f"not available here: {reason}", add_help=False, prefix_chars="\0")
    command.add_argument("ignored", nargs="*")
    command.set_defaults(execute=explain)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return 0, 1 after printing an error, 3 if a comparison was lost, or 130 if interrupted."""
    quieten_tensorflow()
    arguments = parser().parse_args(argv)
    try:
        status: int | None = arguments.execute(arguments)
    except (TrainingError, CariesError, FileNotFoundError) as error:
        print(f"{arguments.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{arguments.command}: stopped", file=sys.stderr)
        return 130
    return status or 0
