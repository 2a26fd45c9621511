"""The commands of `python -m training`, grouped by subject; `training.cli` lists them."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

AddArguments = Callable[[argparse.ArgumentParser], object]
Run = Callable[[argparse.Namespace], int | None]


@dataclass(frozen=True, slots=True)
class Command:
    """A summary for the help, the arguments, and a function that returns the exit status, None for 0."""

    summary: str
    arguments: tuple[AddArguments, ...]
    run: Run


def command(summary: str, *arguments: AddArguments) -> Callable[[Run], Command]:
    """Declare a function as a command of the same name, with `-` for `_`."""
    return lambda run: Command(summary, arguments, run)


def argument(*names: str, **options: Any) -> AddArguments:
    """One argument, as `ArgumentParser.add_argument` takes it."""
    return lambda parser: parser.add_argument(*names, **options)


def out(text: str) -> AddArguments:
    return argument("--out", type=Path, required=True, help=text)
