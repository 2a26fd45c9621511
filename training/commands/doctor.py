"""Needs no package, since it says which ones are missing."""

import argparse
import json
from pathlib import Path

from training.commands import argument, command
from training.doctor import diagnose


@command(
    "show versions, GPU, processor, memory and disk; what is missing, and how to install it",
    argument("--out", type=Path, default=Path(), help="where a training would write (default: here)"),
    argument("--json", action="store_true", help="as JSON"),
)
def doctor(arguments: argparse.Namespace) -> int:
    found = diagnose(arguments.out)
    print(json.dumps(found.as_dict(), indent=2) if arguments.json else found)
    return 1 if found.missing else 0
