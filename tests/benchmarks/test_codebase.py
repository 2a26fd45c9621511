"""Size, import cycles and watched words of a revision."""

import subprocess

import pytest

from benchmarks import codebase

pytestmark = pytest.mark.slow

FILES = {
    "app/__init__.py": "",
    "app/first.py": "from app import second\n",
    "app/second.py": "def later():\n    from app.third import name\n",
    "app/third.py": "import app.first\nfrom app.fourth import name\n",
    "app/fourth.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from app import third\n",
}


def test_a_cycle_is_found_through_functions_and_not_through_type_checking() -> None:
    assert codebase.import_cycles(FILES) == [["app.first", "app.second", "app.third"]]
    assert codebase.import_cycles({**FILES, "app/third.py": ""}) == []


def test_words_are_counted_in_docs_docstrings_and_comments_alone() -> None:
    source = '"""Beside the point."""\nbeside = "beside"  # nobody knows\n'
    rows = codebase.figures({"app/module.py": source, "docs/page.md": "Written anew.", "README.ko.md": "anew"})
    assert rows["app: modules, lines"] == "1, 2"
    assert rows["docs: words"] == "2"
    assert rows["docs: anew"] == "5000.0 (1)"
    assert rows["docstrings and comments: words"] == "5"
    assert rows["docstrings and comments: beside"] == "2000.0 (1)"
    assert rows["docstrings and comments: nobody, somebody, whoever"] == "2000.0 (1)"


def test_revisions_are_shown_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    if subprocess.run(["git", "rev-parse", "HEAD"], cwd=codebase.ROOT, capture_output=True).returncode:
        pytest.skip("this is no checkout")
    assert codebase.main(["HEAD", "HEAD"]) == 0
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head == "| | HEAD | HEAD |"
    assert len(rows) == 15
    for row in rows:
        _, first, second = row.strip("| ").split(" | ")
        assert first == second
