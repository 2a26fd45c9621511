"""The command line `python -m training COMMAND`; each command is a module of `training.commands`."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from app.errors import CariesError
from training.errors import TrainingError
from training.quiet import quieten_tensorflow

COMMANDS = (
    *("doctor", "run", "explore", "prepare", "pretrained", "configure", "train", "export", "tflite", "evaluate"),
    *("detect", "package", "repackage", "archive", "install", "sweep", "cross-validate", "review", "enlarge", "render"),
)
"""In the order of use; a command's module has its name, with `_` for `-`."""


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    root = argparse.ArgumentParser(prog="python -m training", description="From annotated photos to a caries detector.")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        try:
            module = importlib.import_module(f"training.commands.{name.replace('-', '_')}")
        except ImportError as error:
            _add_unavailable(commands, name, error)
            continue
        command = commands.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
        module.add_arguments(command)
        command.set_defaults(execute=module.run)
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
    """Run a command; return 0, 1 after printing an error, or 130 if interrupted."""
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
