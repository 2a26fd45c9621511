import argparse
import json
from pathlib import Path

SUMMARY = "show versions, GPU, processor, memory and disk; what is missing, and how to install it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path(), help="where a training would write (default: here)")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace) -> int:
    from training.doctor import diagnose

    found = diagnose(arguments.out)
    print(json.dumps(found.as_dict(), indent=2) if arguments.json else found)
    return 1 if found.missing else 0
