"""The tree of errors is complete."""

import ast
import builtins
from collections.abc import Iterator
from pathlib import Path

import app
from app import errors

PACKAGE = Path(app.__file__).parent


def drawn(kind: type[Exception], depth: int = 0) -> Iterator[str]:
    yield f"{'  ' * depth}{'+ ' if depth else ''}{kind.__name__}"
    for child in kind.__subclasses__():
        yield from drawn(child, depth + 1)


def is_exception(base: ast.expr) -> bool:
    name = ast.unparse(base).rpartition(".")[2]
    kind = getattr(errors, name, getattr(builtins, name, None))
    return isinstance(kind, type) and issubclass(kind, BaseException)


def test_the_tree_is_drawn_completely() -> None:
    assert errors.__doc__ is not None
    assert "\n".join(drawn(errors.CariesError)) in errors.__doc__


def test_errors_are_defined_nowhere_else() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and any(map(is_exception, node.bases)):
                assert path.name == "errors.py", f"{path}: {node.name}"
