"""Size, import cycles and watched words of the repository at git revisions, side by side, without checking them out.

    python -m benchmarks.codebase [REVISION ...]

The watched words are rare in the text of well-edited codebases; their rows are occurrences per 10,000 words.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import subprocess
import sys
import tarfile
import tokenize
from collections.abc import Container, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE = ("app", "training", "benchmarks")
WATCHED = ("beside", "what is", "nobody|somebody|whoever", "anew")


def sources(revision: str) -> dict[str, str]:
    """Path to text of every Python and Markdown file of a revision."""
    command = ["git", "archive", "--format=tar", revision, "--", "*.py", "*.md"]
    archive = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        contents = ((member.name, files.extractfile(member)) for member in files)
        return {name: content.read().decode() for name, content in contents if content is not None}


def in_package(files: dict[str, str], package: str) -> dict[str, str]:
    """The Python files of a package by path."""
    return {path: text for path, text in files.items() if path.startswith(f"{package}/") and path.endswith(".py")}


def import_cycles(files: dict[str, str]) -> list[list[str]]:
    """Groups of modules that import each other; imports inside functions count, those under `TYPE_CHECKING` do not."""
    trees = {module_name(path): ast.parse(text) for path, text in files.items()}
    imports = {module: set(imported(tree, trees.keys())) - {module} for module, tree in trees.items()}
    reached = {module: reachable(module, imports) for module in imports}
    groups = {tuple(sorted(other for other in found if module in reached[other])) for module, found in reached.items()}
    return sorted(list(group) for group in groups if group)


def module_name(path: str) -> str:
    """The dotted name of a module."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imported(tree: ast.AST, modules: Container[str]) -> Iterator[str]:
    """Those of `modules` that a syntax tree imports."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                yield from imported(ast.Module(node.orelse, []), modules)
            case ast.Import():
                yield from (alias.name for alias in node.names if alias.name in modules)
            case ast.ImportFrom(module=str(package)):
                names = {name if (name := f"{package}.{alias.name}") in modules else package for alias in node.names}
                yield from (name for name in names if name in modules)
            case _:
                yield from imported(node, modules)


def reachable(start: str, imports: dict[str, set[str]]) -> set[str]:
    """Every module that `start` imports, directly or not."""
    found, pending = set[str](), [start]
    while pending:
        new = imports[pending.pop()] - found
        found |= new
        pending += new
    return found


def prose(source: str) -> str:
    """The docstrings and comments of a module."""
    expressions = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Expr)]
    docstrings = [str(value.value) for value in expressions if isinstance(value, ast.Constant)]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return "\n".join([*docstrings, *(token.string for token in tokens if token.type == tokenize.COMMENT)])


def figures(files: dict[str, str]) -> dict[str, str]:
    """Row to cell for one revision."""
    code = {path: text for package in CODE for path, text in in_package(files, package).items()}
    docs = "\n".join(text for path, text in files.items() if path.endswith(".md") and not path.endswith(".ko.md"))
    rows: dict[str, str] = {}
    for package in (*CODE, "tests"):
        found = in_package(files, package)
        rows[f"{package}: modules, lines"] = f"{len(found)}, {sum(text.count(chr(10)) for text in found.values()):,}"
    cycles = import_cycles(code)
    rows["import cycles (modules in them)"] = f"{len(cycles)} ({sum(map(len, cycles))})"
    for name, text in (("docs", docs), ("docstrings and comments", "\n".join(map(prose, code.values())))):
        words = len(re.findall(r"[^\W\d_]+", text))
        rows[f"{name}: words"] = f"{words:,}"
        for watched in WATCHED:
            count = len(re.findall(rf"\b(?:{watched})\b", text, re.IGNORECASE))
            rows[f"{name}: {watched.replace('|', ', ')}"] = f"{count * 10_000 / max(1, words):.1f} ({count})"
    return rows


def main(given: list[str] | None = None) -> int:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revisions", nargs="*", default=["HEAD"], metavar="REVISION")
    revisions = parser.parse_args(given).revisions
    columns = [figures(sources(revision)) for revision in revisions]
    print(f"| | {' | '.join(revisions)} |\n|{'---|' * (len(revisions) + 1)}")
    for row in columns[0]:
        print(f"| {row} | {' | '.join(column[row] for column in columns)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
